"""Pytrees: values taken apart into leaves, and leaves put together, as a `TreeSpec` says.

Containers of the standard library are known here; any other type comes from a registry that the caller passes
(`types`). A missing type becomes a plain dict of its fields; a namedtuple one of the same name and fields.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from lowering.ir.errors import BridgeError
from lowering.ir.tree_spec import (
    DEFAULT,
    DEQUE,
    LEAF,
    LIST,
    MAPPINGS,
    NAMEDTUPLE,
    SEQUENCES,
    TUPLE,
    TreeSpec,
    TreeSpecError,
    child_names,
    custom_context,
    deque_length,
    dict_keys,
    factory_of,
    leaf_paths,
    namedtuple_class,
    namedtuple_fields,
    parse_spec,
    print_spec,
)

__all__ = [
    "LEAF",
    "NodeType",
    "TreeMismatch",
    "TreeSpec",
    "TreeSpecError",
    "dataclass_type",
    "dict_keys",
    "flatten",
    "flatten_call",
    "leaf_paths",
    "namedtuple_fields",
    "namedtuple_type",
    "parse_spec",
    "print_spec",
    "unflatten",
]


class TreeMismatch(BridgeError, ValueError):
    """Values whose structure is not the program's. Gives the place, the expected value and the actual one."""


class NodeType(NamedTuple):
    """How to take one container type apart and rebuild it.

    `flatten` gives the children and the context; `unflatten` is given the children and the spec's context. A
    context is as torch writes it: JSON text, unless the type was registered with its own encoding.
    """

    type: type
    flatten: Callable[[Any], tuple[Iterable[Any], Any]]
    unflatten: Callable[[Sequence[Any], Any], Any]


Types = Mapping[str, NodeType]
_NO_TYPES: Types = {}


def dataclass_type(cls: type) -> NodeType:
    """A dataclass as torch registers it: fields that are None are left out, and said so in the context."""
    names = [field.name for field in fields(cls) if field.init]

    def flatten(value: Any) -> tuple[list[Any], Any]:
        present = [name for name in names if getattr(value, name) is not None]
        absent = [name for name in names if getattr(value, name) is None]
        return [getattr(value, name) for name in present], json.dumps([present, absent])

    def unflatten(children: Sequence[Any], context: Any) -> Any:
        present, absent = json.loads(context)
        return cls(**dict(zip(present, children, strict=True)), **dict.fromkeys(absent))

    return NodeType(cls, flatten, unflatten)


def namedtuple_type(cls: type) -> NodeType:
    """A namedtuple's own class, so that results are of it rather than of a look-alike."""
    return NodeType(cls, lambda value: (value, None), lambda children, _: cls(*children))


def _unknown(spec: TreeSpec) -> TreeSpecError:
    name = spec.context
    return TreeSpecError(f"the container type {name} is not known: register it by importing what defines it")


class _Mismatch(Exception):
    """A mismatch on its way out; each level adds its step of the path, innermost first."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.steps: list[str] = []


def flatten(tree: Any, spec: TreeSpec, types: Types = _NO_TYPES) -> list[Any]:
    """The leaves of `tree`, in the order of `spec`. Dicts may have their keys in any order.

    Raises `TreeMismatch` if the structure differs (`item 0, key 'a': expected ..., got ...`). Raises
    `TreeSpecError` if the spec has a namedtuple without fields.
    """
    leaves: list[Any] = []
    try:
        _flatten(tree, spec, types, leaves)
    except _Mismatch as found:
        raise TreeMismatch(_sentence(found.problem, found.steps[::-1])) from None
    return leaves


def flatten_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], spec: TreeSpec, types: Types = _NO_TYPES
) -> list[Any]:
    """The leaves of a call's arguments, in the order of `spec`, which is that of `(args, kwargs)`.

    Keyword arguments may come in any order. Raises as `flatten` does; a message begins with the argument:
    `argument 0, key 'a': expected ..., got ...`.
    """
    leaves: list[Any] = []
    try:
        _flatten((args, kwargs), spec, types, leaves)
    except _Mismatch as found:
        steps = found.steps[::-1]
        if len(steps) == 1:
            steps = ["positional arguments" if steps[0] == "item 0" else "keyword arguments"]
        elif steps:
            steps = ["argument " + steps[1].partition(" ")[2], *steps[2:]]
        raise TreeMismatch(_sentence(found.problem, steps)) from None
    return leaves


def _sentence(problem: str, steps: Sequence[str]) -> str:
    return f"{', '.join(steps)}: {problem}" if steps else problem


def _flatten(tree: Any, spec: TreeSpec, types: Types, leaves: list[Any]) -> None:
    kind, children = spec.type, spec.children
    if kind is None:
        leaves.append(tree)
        return
    steps: Sequence[Any] | None = None
    if kind in SEQUENCES:
        if type(tree) is not SEQUENCES[kind] or len(tree) != len(children):
            raise _Mismatch(_expected(spec, tree))
        if kind == DEQUE and tree.maxlen != deque_length(spec.context or "null"):
            raise _Mismatch(f"expected a deque of maxlen {spec.context}, got one of maxlen {tree.maxlen}")
        parts = tree
    elif kind in MAPPINGS:
        if type(tree) is not MAPPINGS[kind] or len(tree) != len(children):
            raise _Mismatch(_expected(spec, tree))
        if not children:
            return
        steps = dict_keys(spec)
        # Not by indexing: a defaultdict would invent what is absent.
        if not all(key in tree for key in steps):
            raise _Mismatch(_expected(spec, tree))
        parts = [tree[key] for key in steps]
    else:
        parts, steps = _take_apart(tree, spec, types)
    index = 0
    try:
        for child in children:
            if child.type is None:
                leaves.append(parts[index])
            else:
                _flatten(parts[index], child, types, leaves)
            index += 1
    except _Mismatch as found:
        found.steps.append(_step(kind, steps, index))
        raise


def _take_apart(tree: Any, spec: TreeSpec, types: Types) -> tuple[Sequence[Any], Sequence[Any] | None]:
    """The children of a namedtuple, or of a type from the registry."""
    name = spec.context if spec.type == NAMEDTUPLE else spec.type
    known = types.get(name or "")
    if known is None:
        if spec.type != NAMEDTUPLE:
            return _fields_of(tree, spec)
        if spec.children and not spec.fields:
            raise _unknown(spec)
        if not isinstance(tree, tuple) or getattr(tree, "_fields", None) != spec.fields:
            raise _Mismatch(_expected(spec, tree))
        return tree, spec.fields
    if type(tree) is not known.type:
        if spec.type != NAMEDTUPLE and type(tree) is dict:
            return _fields_of(tree, spec)
        raise _Mismatch(_expected(spec, tree))
    parts, context = known.flatten(tree)
    parts = tuple(parts)
    if len(parts) != len(spec.children):
        raise _Mismatch(f"expected a {name} of {len(spec.children)} children, got {len(parts)}")
    if spec.type != NAMEDTUPLE and not _same_context(context, custom_context(spec)):
        raise _Mismatch(f"expected a {name} with the context {custom_context(spec)}, got {context}")
    return parts, None


def _fields_of(tree: Any, spec: TreeSpec) -> tuple[Sequence[Any], Sequence[Any]]:
    """The fields of a container of an unknown type: a mapping of them, or an object that has them.

    Other fields are absent, or None.
    """
    names = child_names(spec)
    if isinstance(tree, Mapping):
        given = dict(tree)
    elif is_dataclass(tree) and not isinstance(tree, type):
        given = {field.name: getattr(tree, field.name) for field in fields(tree)}
    else:
        raise _Mismatch(_expected(spec, tree))
    if not all(name in given for name in names):
        raise _Mismatch(_expected(spec, tree))
    if any(value is not None for name, value in given.items() if name not in names):
        raise _Mismatch(_expected(spec, tree))
    return [given[name] for name in names], names


def _same_context(ours: Any, theirs: Any) -> bool:
    """Whether two contexts are one: text of JSON may be spaced differently."""
    if ours == theirs or not (isinstance(ours, str) and isinstance(theirs, str)):
        return ours == theirs
    try:
        return json.loads(ours) == json.loads(theirs)
    except ValueError:
        return False


def _step(kind: str, steps: Sequence[Any] | None, index: int) -> str:
    if steps is None:
        return f"item {index}"
    return f"field {steps[index]!r}" if kind == NAMEDTUPLE else f"key {steps[index]!r}"


def _expected(spec: TreeSpec, tree: Any) -> str:
    return f"expected {_describe_spec(spec)}, got {_describe(tree)}"


def _describe_spec(spec: TreeSpec) -> str:
    name = (spec.type or "").rpartition(".")[2]
    if spec.type in MAPPINGS:
        return f"{name} with keys {list(dict_keys(spec))}"
    if spec.type == NAMEDTUPLE:
        return f"{spec.context} with fields {list(spec.fields)}"
    if spec.type in SEQUENCES:
        return f"{name} of {len(spec.children)}"
    return f"{spec.type}, or a dict with keys {list(child_names(spec))}"


def _describe(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"{type(tree).__name__} with keys {list(tree)}"
    if hasattr(tree, "_fields"):
        return f"{type(tree).__name__} with fields {list(tree._fields)}"
    if isinstance(tree, list | tuple | deque):
        return f"{type(tree).__name__} of {len(tree)}"
    return type(tree).__name__


def unflatten(leaves: Iterable[Any], spec: TreeSpec, types: Types = _NO_TYPES) -> Any:
    """Rebuild the structure around `leaves`. A namedtuple not in `types` becomes a look-alike, any other type
    that is not there a dict of its fields.

    Raises `TreeSpecError` for a namedtuple without fields, `TreeMismatch` if there are too few or too
    many leaves.
    """
    remaining = iter(leaves)
    try:
        tree = _unflatten(remaining, spec, types)
    except StopIteration:
        raise TreeMismatch(f"expected {spec.leaves} leaves, got fewer") from None
    if next(remaining, remaining) is not remaining:
        raise TreeMismatch(f"expected {spec.leaves} leaves, got more")
    return tree


def _unflatten(leaves: Any, spec: TreeSpec, types: Types) -> Any:
    kind = spec.type
    if kind is None:
        return next(leaves)
    # A loop, not a generator: running out of leaves inside one would look like its end.
    parts: list[Any] = []
    for child in spec.children:
        parts.append(_unflatten(leaves, child, types))
    if kind == TUPLE:
        return tuple(parts)
    if kind == LIST:
        return parts
    if kind == DEQUE:
        return deque(parts, maxlen=deque_length(spec.context or "null"))
    if kind == DEFAULT:
        return defaultdict(factory_of(spec.context or ""), zip(dict_keys(spec), parts, strict=True))
    if kind in MAPPINGS:
        return MAPPINGS[kind](zip(dict_keys(spec), parts, strict=True))
    return _rebuild(parts, spec, types)


def _rebuild(parts: list[Any], spec: TreeSpec, types: Types) -> Any:
    if spec.type != NAMEDTUPLE:
        known = types.get(spec.type or "")
        if known is None:
            return dict(zip(child_names(spec), parts, strict=True))
        return known.unflatten(parts, custom_context(spec))
    known = types.get(spec.context or "")
    if known is not None:
        return known.unflatten(parts, None)
    if len(spec.fields) != len(parts):
        raise _unknown(spec)
    return namedtuple_class(spec.context or "", spec.fields)(*parts)
