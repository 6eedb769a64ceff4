"""Arguments that IREE would overwrite.

IREE 3.13 updates an argument's buffer in place where the argument's own value is not read again (its issue
16168): a scatter into an argument, an inserted slice or a loop that starts from one write into the caller's
memory. Such an argument is first copied by an operation that IREE can neither fold away nor see through. A
donated argument is left to IREE: it writes in place where that is right, and elsewhere where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from runtime.engine import EngineError

_MAIN = re.compile(r"^  util\.func public @main\((?P<arguments>.*)\) -> .*\{(?: loc\(.*\))?$")
_ARGUMENT = re.compile(r"(?P<name>%[\w$.-]+): (?P<type>tensor<[^{}]*?>)(?=,|$| \{| loc\()")
_VALUE = r"%[\w$.#-]+"
# What has the elements of its operand, and perhaps its memory.
_SAME = re.compile(
    rf"^ *(?P<result>{_VALUE}) = tensor\.(?:collapse_shape|expand_shape|cast|reshape|bitcast|extract_slice) "
    rf"(?P<operand>{_VALUE})"
)
# Where a tensor is given to be written to, or to a loop that may.
_WRITES = (
    re.compile(r"\bouts\((?P<values>[^:)]*)"),
    re.compile(rf"\btensor\.(?:insert|insert_slice) {_VALUE} into (?P<values>{_VALUE})"),
    re.compile(r"\bscf\.while(?:\.\S+)? ?\((?P<values>[^)]*)\)"),
    re.compile(r"\biter_args\((?P<values>[^)]*)\)"),
)


def protect_arguments(text: str, name: str, donated: Collection[int] = ()) -> str:
    """The converted module with every argument that it would overwrite copied first.

    `donated`: places of the arguments that may be overwritten. Raises EngineError where IREE's text is not of
    the form this relies on.
    """
    lines = text.split("\n")
    at = next((i for i, line in enumerate(lines) if _MAIN.match(line)), None)
    if at is None:
        raise EngineError(f"iree {name}: cannot protect the arguments: the converted module has no @main")
    types = dict(_ARGUMENT.findall(lines[at].split("@main(", 1)[1].split(") -> ")[0]))
    body = lines[at + 1 :]
    kept = {argument for place, argument in enumerate(types) if place not in donated}
    written = _written(body, kept)
    if not written:
        return text
    copies: list[str] = ["    %bridge_yes = arith.constant true", _OPAQUE]
    renamed: dict[str, str] = {}
    for index, argument in enumerate(sorted(written)):
        renamed[argument] = f"%bridge_copy_{index}"
        copies += _copy(index, argument, types[argument])
    pattern = re.compile("|".join(rf"{re.escape(argument)}(?![\w$.-])" for argument in renamed))
    body = [pattern.sub(lambda found: renamed[found[0]], line) for line in body]
    return "\n".join([*lines[: at + 1], *copies, *body])


_OPAQUE = "    %bridge_opaque = util.optimization_barrier %bridge_yes : i1"


def _written(body: list[str], arguments: set[str]) -> set[str]:
    """The arguments that an operation of the body is given to write to, directly or reshaped."""
    root = {argument: argument for argument in arguments}
    written: set[str] = set()
    for line in body:
        same = _SAME.match(line)
        if same is not None and same["operand"] in root:
            root[same["result"]] = root[same["operand"]]
        for pattern in _WRITES:
            for found in pattern.finditer(line):
                values = re.findall(_VALUE, found["values"])
                written |= {root[value] for value in values if value in root}
    return written


def _copy(index: int, argument: str, type_: str) -> list[str]:
    """`%bridge_copy_<index>`: the argument in memory of its own."""
    *sizes, element = (
        type_.removeprefix("tensor<").removesuffix(">").split("x")
        if "complex" not in type_
        else (_complex_parts(type_))
    )
    axes = ", ".join(f"d{axis}" for axis in range(len(sizes)))
    identity = f"affine_map<({axes}) -> ({axes})>"
    iterators = ", ".join('"parallel"' for _ in sizes)
    return [
        f"    %bridge_zero_{index} = {_zero(element)}",
        f"    %bridge_empty_{index} = tensor.empty() : {type_}",
        f"    %bridge_copy_{index} = linalg.generic {{indexing_maps = [{identity}, {identity}], "
        f"iterator_types = [{iterators}]}} ins({argument} : {type_}) "
        f"outs(%bridge_empty_{index} : {type_}) {{",
        f"    ^bb0(%in: {element}, %out: {element}):",
        f"      %bridge_same = arith.select %bridge_opaque, %in, %bridge_zero_{index} : {element}",
        f"      linalg.yield %bridge_same : {element}",
        f"    }} -> {type_}",
    ]


def _complex_parts(type_: str) -> list[str]:
    inner = type_.removeprefix("tensor<").removesuffix(">")
    sizes, _, element = inner.rpartition("xcomplex")
    return [*(sizes.split("x") if sizes else []), f"complex{element}" if sizes else inner]


def _zero(element: str) -> str:
    if element.startswith("complex"):
        part = element.removeprefix("complex<").removesuffix(">")
        return f"complex.constant [0.0 : {part}, 0.0 : {part}] : {element}"
    return f"arith.constant {'0' if element.startswith('i') else '0.0'} : {element}"
