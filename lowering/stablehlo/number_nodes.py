"""Nodes that give, compute or check numbers that only the data tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lowering.ir.claims import claim
from lowering.ir.facts.data import takes_item
from lowering.ir.program import Graph, Node, Range
from lowering.ir.symbols import free_symbols, is_unbacked
from lowering.ir.term_bounds import bounds
from lowering.ir.types import SymKind, SymType, ValueType
from lowering.stablehlo.context import Context
from lowering.stablehlo.data_number import DataNumber, is_data_number
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.numbers import computed, number_from
from lowering.stablehlo.value import Value


def tells(sizes: Mapping[str, int], types: Iterable[ValueType]) -> bool:
    """Whether these sizes tell the values of symbolic scalars; else the data does."""
    terms = [type_.value for type_ in types if isinstance(type_, SymType)]
    symbols = frozenset().union(*map(free_symbols, terms))
    return not any(is_unbacked(name) and name not in sizes for name in symbols)


def number_of(
    cx: Context, node: Node, type_: SymType, arguments: Sequence[Any], ranges: Mapping[str, Range]
) -> DataNumber:
    """The number that a node takes out of the data, or computes with such numbers. Raises Unsupported."""
    if takes_item(node.target) and isinstance(arguments[0], Value):
        number = number_from(cx, arguments[0])
    elif node.target.startswith("aten."):
        raise Unsupported("its value is known only once the data is")
    else:
        number = computed(cx, node.target, list(arguments), _fits(type_, ranges))
    if number.value.dtype is not type_.kind.element:
        raise Unsupported(
            f"the program takes a {number.value.dtype} from the data for its {type_.kind.value}"
        )
    return number


def _fits(type_: SymType, ranges: Mapping[str, Range]) -> bool:
    """Whether an integer has 64 bits, by the ranges of its symbols, which the program asserts."""
    if type_.kind is not SymKind.INT:
        return True
    low, high = bounds(type_.value, ranges)
    return low >= -(1 << 63) and high < 1 << 63


def check_number(cx: Context, graph: Graph, node: Node, arguments: Mapping[str, Any]) -> None:
    """Have the module check what a node asserts of a number from the data: that it is true, or in a range."""
    if "size" not in arguments:
        number = _checked(arguments["self"])
        message = str(arguments.get("assert_msg", ""))
        found = claim(message, graph)
        cx.fail_if(number == 0, f"the program takes {found.text}" if found else message)
        return
    number = _checked(arguments["size"])
    low, high = arguments.get("min"), arguments.get("max")
    if low is not None:
        cx.fail_if(number < low, f"the program takes numbers of {low} or more here")
    if high is not None:
        cx.fail_if(number > high, f"the program takes numbers of at most {high} here")


def _checked(number: Any) -> Value:
    if not is_data_number(number):
        raise Unsupported("an assertion about a number from the data and others")
    return number.value
