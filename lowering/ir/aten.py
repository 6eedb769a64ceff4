"""The arguments, results, aliases and writes of operators: ATen's, and those of a few other namespaces.

`aten.json` holds torch's own schema of every overload (see `third_party/generate_aten_table.py`), so that a
program can be read without importing torch. It has `prims`, `quantized_decomposed` and what packages leave in
exported programs, too. Schemas do not say everything; the tables below add what is missing, and tests check
them against torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lowering.ir.errors import BridgeError
from lowering.ir.program import Arg, Argument, Literal
from lowering.ir.types import DType, MemoryFormat


class SchemaError(BridgeError, ValueError):
    """A call that does not fit its operator's schema; the message names both."""


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A declared argument. `type` is torch's, without alias annotations: `Tensor`, `SymInt[2]`, `Scalar?`.

    `alias`: the letter of the alias set, or the empty string. `writes`: whether the schema says it is written
    to.
    `default`: an IR literal (a list is a tuple), or REQUIRED.
    """

    name: str
    type: str
    default: Arg = REQUIRED
    keyword: bool = False
    alias: str = ""
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """A declared result."""

    type: str
    alias: str = ""
    writes: bool = False


@dataclass(frozen=True, slots=True)
class OpSchema:
    """One overload.

    `tags`: torch's own (`core`, `pointwise`, `nondeterministic_seeded`, `data_dependent_output`,
    `dynamic_output_shape`, `inplace_view`, ...).
    `composite_implicit`: torch defines it by other ops on every backend.
    """

    target: str
    parameters: tuple[Parameter, ...]
    returns: tuple[Return, ...]
    tags: frozenset[str]
    composite_implicit: bool

    def bind(self, args: Iterable[Argument]) -> dict[str, Arg]:
        """Every argument by name, in schema order, with defaults filled in.

        Unnamed arguments bind by position. Raises SchemaError on an unknown or repeated name and on a missing
        argument.
        """
        given: dict[str, Arg] = {}
        names = [parameter.name for parameter in self.parameters]
        for position, argument in enumerate(args):
            if not argument.name and position >= len(names):
                raise SchemaError(f"{self.target} takes {len(names)} arguments")
            name = argument.name or names[position]
            if name not in names:
                raise SchemaError(f"{self.target} has no argument {name!r}; it takes {', '.join(names)}")
            if name in given:
                raise SchemaError(f"{self.target} is given {name!r} twice")
            given[name] = argument.value
        bound: dict[str, Arg] = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is REQUIRED:
                raise SchemaError(f"{self.target} is not given {parameter.name!r}")
            bound[parameter.name] = value
        return bound

    def may_write(self) -> bool:
        """Whether any call of the operator writes, or returns an argument as one that writes does."""
        return self.target in _WRITES_IF or any(p.writes for p in self.parameters)

    def written(self, bound: Mapping[str, Arg]) -> tuple[str, ...]:
        """Names of the arguments whose elements this call writes, in schema order."""
        if self.target in _WRITES_NOTHING:
            return ()
        conditional = _WRITES_IF.get(self.target)
        if conditional is not None:
            flag, names = conditional
            return (
                names if bound[flag] is not False and all(bound[name] is not None for name in names) else ()
            )
        return tuple(p.name for p in self.parameters if p.writes and bound[p.name] not in (None, ()))

    def written_return(self, index: int) -> str | None:
        """The written argument that this result is (`add_` returns `self`), or None."""
        alias = self.returns[index].alias if self.returns[index].writes else ""
        return next((p.name for p in self.parameters if alias and p.writes and p.alias == alias), None)

    def aliased(self, index: int) -> tuple[str, ...]:
        """Arguments that this result is, or for some operators may be, a view of.

        Whether it is depends for some on sizes and strides; see `lowering.ir.views`.
        """
        if self.target in SOMETIMES_ALIASES:
            return SOMETIMES_ALIASES[self.target]
        alias = self.returns[index].alias
        return tuple(p.name for p in self.parameters if alias and p.alias == alias)


_RUNNING = ("running_mean", "running_var")

# Operators that write to some arguments only if a flag is set, other than their schemas say: flag, arguments.
_WRITES_IF: dict[str, tuple[str, tuple[str, ...]]] = {
    "aten.batch_norm.default": ("training", _RUNNING),
    "aten._batch_norm_impl_index.default": ("training", _RUNNING),
    "aten.native_batch_norm.default": ("training", _RUNNING),
    "aten._native_batch_norm_legit.default": ("training", _RUNNING),
    "aten.cudnn_batch_norm.default": ("training", _RUNNING),
    "aten.miopen_batch_norm.default": ("training", _RUNNING),
    "aten.instance_norm.default": ("use_input_stats", _RUNNING),
}

# Declared as writing, but only attributes that a program's values do not have.
_WRITES_NOTHING = frozenset(("aten.requires_grad_.default", "aten.detach_.default"))

# Operators whose schema has no alias, and whose result is, for some arguments, a view of these.
SOMETIMES_ALIASES: dict[str, tuple[str, ...]] = {
    **{
        f"aten.{name}.default": ("self",)
        for name in (
            *("_cast_Byte", "_cast_Char", "_cast_Double", "_cast_Float", "_cast_Half", "_cast_Int"),
            *("_cast_Long", "_cast_Short", "_unsafe_view", "atleast_1d", "atleast_2d", "atleast_3d", "chalf"),
            *("conj_physical", "data", "lift", "sum_to_size", "to_dense", "type_as", "unsafe_chunk"),
            *("unsafe_split_with_sizes", "_remove_batch_dim"),
        )
    },
    "aten.unsafe_split.Tensor": ("self",),
    "aten.dequantize.self": ("self",),
    "aten._saturate_weight_to_fp16.default": ("weight",),
    **{
        f"aten.{name}.default": ("input",)
        for name in ("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout")
    },
    **{
        f"aten.{name}": ("tensors",)
        for name in (
            *("_to_cpu.default", "atleast_1d.Sequence", "atleast_2d.Sequence", "atleast_3d.Sequence"),
            *("broadcast_tensors.default", "cartesian_prod.default", "einsum.default"),
            *("flatten_dense_tensors.default", "meshgrid.default", "meshgrid.indexing"),
        )
    },
    "aten.unflatten_dense_tensors.default": ("flat",),
    "aten.set.source_Tensor": ("source",),
}


@cache
def _table() -> dict[str, tuple[str, str]]:
    text = Path(__file__).with_name("aten.json").read_text(encoding="utf-8")
    return json.loads(text)["overloads"]


def targets(namespace: str = "aten") -> tuple[str, ...]:
    """The target of every overload in a namespace, sorted."""
    return tuple(target for target in _table() if target.startswith(f"{namespace}."))


@cache
def schema(target: str) -> OpSchema | None:
    """The schema of `aten.add.Tensor`; None for what the table does not have."""
    row = _table().get(target)
    return None if row is None else parse_schema(target, *row)


def parse_schema(target: str, signature: str, tags: str) -> OpSchema:
    """A schema from torch's text of it, from the opening parenthesis on, and its tags, between blanks."""
    end = _closing(signature, 0)
    keyword = False
    parameters: list[Parameter] = []
    for text in _split(signature[1:end]):
        if text == "*":
            keyword = True
        else:
            parameters.append(_parameter(text, keyword))
    results = signature[end + 1 :].removeprefix(" -> ")
    if results.startswith("(") and _closing(results, 0) == len(results) - 1:
        results = results[1:-1]
    names = frozenset(tags.split())
    return OpSchema(
        target,
        tuple(parameters),
        tuple(_return(text) for text in _split(results)),
        names - {"implicit"},
        "implicit" in names,
    )


_ALIAS = re.compile(r"\((?P<set>[a-z][0-9]*)(?P<write>!?)(?: -> \*)?\)")


def _parameter(text: str, keyword: bool) -> Parameter:
    declaration, equals, default = text.partition("=")
    kind, _, name = declaration.rpartition(" ")
    alias = _ALIAS.search(kind)
    plain = _ALIAS.sub("", kind)
    value = _default(default, plain) if equals else REQUIRED
    if alias is None:
        return Parameter(name, plain, value, keyword)
    return Parameter(name, plain, value, keyword, alias["set"], bool(alias["write"]))


def _return(text: str) -> Return:
    alias = _ALIAS.search(text)
    plain = _ALIAS.sub("", text).split(" ")[0]
    return Return(plain) if alias is None else Return(plain, alias["set"], bool(alias["write"]))


def _default(text: str, kind: str) -> Arg:
    if text.startswith("["):
        return tuple(_default(item, kind) for item in _split(text[1:-1]))
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith('"'):
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if kind == "MemoryFormat":
        return _MEMORY_FORMATS[text]
    if kind.startswith("ScalarType"):
        return _SCALAR_TYPES[text]
    return int(text) if text.lstrip("-").isdigit() else float(text)


_SCALAR_TYPES = {str(dtype.scalar_type): dtype for dtype in DType}
_MEMORY_FORMATS = {"0": MemoryFormat.CONTIGUOUS, "1": MemoryFormat.PRESERVE}
_WORDS: dict[str, Literal] = {"None": None, "True": True, "False": False}


def _split(text: str) -> list[str]:
    """Split at the commas that are outside brackets and strings."""
    parts: list[str] = []
    depth, start = 0, 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[(\[\]),]', text):
        mark = match[0]
        depth += (mark in "([") - (mark in ")]")
        if mark == "," and depth == 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()] if text.strip() else []


def _closing(text: str, opening: int) -> int:
    """The position of the bracket that closes the one at `opening`."""
    depth = 0
    for position in range(opening, len(text)):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0:
            return position
    raise SchemaError(f"unbalanced schema {text!r}")
