"""The structure of a pytree as data, read from and written as torch's `treespec_dumps` text.

The text is `[1, {"type": ..., "context": ..., "children_spec": [...]}]`. It is untrusted: nothing that it
names is imported, and its depth is bounded.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Any

from lowering.ir.errors import BridgeError

PROTOCOL = 1
MAX_DEPTH = 100

TUPLE, LIST, DICT = "builtins.tuple", "builtins.list", "builtins.dict"
ORDERED, DEFAULT = "collections.OrderedDict", "collections.defaultdict"
DEQUE, NAMEDTUPLE = "collections.deque", "collections.namedtuple"

SEQUENCES: dict[str, type] = {TUPLE: tuple, LIST: list, DEQUE: deque}
MAPPINGS: dict[str, type] = {DICT: dict, ORDERED: OrderedDict, DEFAULT: defaultdict}
# Types whose context torch writes as text; the others' may be any JSON, and is kept as JSON text.
_TEXT_CONTEXT = frozenset((TUPLE, LIST, DICT, ORDERED, DEQUE, NAMEDTUPLE))
STANDARD = _TEXT_CONTEXT | {DEFAULT}

# The factories of a defaultdict that a spec may ask for.
_FACTORIES: dict[str, Callable[[], Any]] = {
    f"builtins.{factory.__name__}": factory
    for factory in (list, dict, set, tuple, int, float, bool, str, complex)
}


class TreeSpecError(BridgeError, ValueError):
    """A spec that cannot be read, or asks for a type that is not known."""


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """One node of a pytree.

    `type` is the container's qualified name (`builtins.tuple`, `collections.namedtuple`, ...), or None for a
    leaf. None itself is a leaf to torch. `context` is torch's text for it: a dict's keys in JSON, a
    namedtuple's registered name bare, any other as JSON. `fields` are a namedtuple's, where they were
    recorded.
    """

    type: str | None
    context: str | None = None
    children: tuple[TreeSpec, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def leaves(self) -> int:
        """How many leaves there are below (1 for a leaf)."""
        return 1 if self.type is None else sum(child.leaves for child in self.children)


LEAF = TreeSpec(None)


def parse_spec(text: str, namedtuples: Mapping[str, Sequence[str]] | None = None) -> TreeSpec:
    """Read torch's spec text. `namedtuples`: field names by registered type name, where recorded.

    Raises `TreeSpecError` if the text is not a spec of protocol 1, or nested more than 100 deep.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise TreeSpecError("a tree spec is not JSON, or nested too deeply") from None
    if not isinstance(document, list) or len(document) != 2:
        raise TreeSpecError("a tree spec is a list of a protocol number and a node")
    if document[0] != PROTOCOL:
        raise TreeSpecError(f"the tree spec's protocol is {document[0]!r}; only {PROTOCOL} is known")
    return _parse(document[1], namedtuples or {}, MAX_DEPTH)


def _parse(node: Any, namedtuples: Mapping[str, Sequence[str]], depth: int) -> TreeSpec:
    if depth == 0:
        raise TreeSpecError(f"the tree spec is nested more than {MAX_DEPTH} deep")
    if not isinstance(node, dict) or not isinstance(node.get("children_spec"), list) or "context" not in node:
        raise TreeSpecError("a tree spec's node needs the fields type, context and children_spec")
    name, context = node.get("type"), node["context"]
    if name is None:
        if context is not None or node["children_spec"]:
            raise TreeSpecError("a leaf of a tree spec has neither context nor children")
        return LEAF
    if not isinstance(name, str):
        raise TreeSpecError(f"a tree spec's type is a name, not {name!r}")
    children = tuple(_parse(child, namedtuples, depth - 1) for child in node["children_spec"])
    if name not in _TEXT_CONTEXT:
        context = json.dumps(context)
    elif not isinstance(context, str):
        raise TreeSpecError(f"the context of a {name} is text, not {type(context).__name__}")
    spec = TreeSpec(name, context, children, _fields(name, context, namedtuples))
    _check(spec)
    return spec


def _fields(name: str, context: str, namedtuples: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(namedtuples.get(context, ())) if name == NAMEDTUPLE else ()


def _check(spec: TreeSpec) -> None:
    """A standard container's context must fit its children."""
    if spec.type in MAPPINGS and len(dict_keys(spec)) != len(spec.children):
        raise TreeSpecError(
            f"a {spec.type} has {len(dict_keys(spec))} keys, but {len(spec.children)} children"
        )
    if spec.type == NAMEDTUPLE and spec.fields:
        if len(spec.fields) != len(spec.children):
            raise TreeSpecError(
                f"{spec.context} has {len(spec.fields)} fields, but {len(spec.children)} children"
            )
        namedtuple_class(spec.context or "", spec.fields)
    if spec.type == DEQUE:
        deque_length(spec.context or "null")


def print_spec(spec: TreeSpec) -> str:
    """The text that torch writes for this spec; `parse_spec` reads it back.

    Namedtuples' fields are not in it: keep `namedtuple_fields` beside it.
    """
    return json.dumps([PROTOCOL, _document(spec)])


def _document(spec: TreeSpec) -> dict[str, Any]:
    context = spec.context
    if spec.type is not None and spec.type not in _TEXT_CONTEXT and context is not None:
        context = json.loads(context)
    return {
        "type": spec.type,
        "context": context,
        "children_spec": [_document(child) for child in spec.children],
    }


def namedtuple_fields(*specs: TreeSpec) -> dict[str, tuple[str, ...]]:
    """Field names of the namedtuples in these specs, by registered name, as `parse_spec` takes them."""
    found: dict[str, tuple[str, ...]] = {}
    for spec in specs:
        if spec.type == NAMEDTUPLE and spec.fields and spec.context:
            found[spec.context] = spec.fields
        found |= namedtuple_fields(*spec.children)
    return found


def dict_keys(spec: TreeSpec) -> tuple[Any, ...]:
    """The keys of a dict, OrderedDict or defaultdict, in the order of its children."""
    return _keys(spec.type == DEFAULT, spec.context or "")


@lru_cache(maxsize=1024)
def _keys(is_default: bool, context: str) -> tuple[Any, ...]:
    keys = _decode(context)
    if is_default:
        keys = keys.get("dict_context") if isinstance(keys, dict) else None
    if not isinstance(keys, list):
        raise TreeSpecError(f"the context of a dict is a list of keys, not {context[:60]!r}")
    for key in keys:
        if not isinstance(key, str | int | float | bool | None):
            raise TreeSpecError(
                f"a dict's key can only be a string, number, bool or None, not {str(key)[:60]!r}"
            )
    if len(set(keys)) != len(keys):
        raise TreeSpecError("a dict has the same key twice")
    return tuple(keys)


def _decode(context: str) -> Any:
    try:
        return json.loads(context)
    except (ValueError, RecursionError):
        raise TreeSpecError(f"the context {context[:60]!r} of a tree spec is not JSON") from None


@lru_cache(maxsize=1024)
def deque_length(context: str) -> int | None:
    """The maximal length of a deque, None for any. Raises TreeSpecError."""
    maximum = _decode(context)
    if maximum is not None and (not isinstance(maximum, int) or isinstance(maximum, bool) or maximum < 0):
        raise TreeSpecError(f"the context of a deque is its maximal length, not {context[:60]!r}")
    return maximum


@lru_cache(maxsize=1024)
def factory_of(context: str) -> Callable[[], Any]:
    """The factory of a defaultdict, a type of Python's own. Raises TreeSpecError for any but a few."""
    record = _decode(context)
    name = f"{record.get('default_factory_module')}.{record.get('default_factory_name')}"
    if name not in _FACTORIES:
        raise TreeSpecError(f"the factory {name} of a defaultdict is not one of {', '.join(_FACTORIES)}")
    return _FACTORIES[name]


@lru_cache(maxsize=1024)
def namedtuple_class(name: str, fields: tuple[str, ...]) -> Callable[..., Any]:
    """A class of this name and these fields. Names are checked here, since they come from a file.

    Raises TreeSpecError for those that no class or field can have.
    """
    short = name.rpartition(".")[2]
    for word in (short, *fields):
        if not word.isidentifier() or iskeyword(word) or (word.startswith("_") and word != short):
            raise TreeSpecError(f"{word!r} in the namedtuple {name} is not a field or class name")
    if len(set(fields)) != len(fields):
        raise TreeSpecError(f"the namedtuple {name} has a field twice")
    return namedtuple(short, fields)


def custom_context(spec: TreeSpec) -> Any:
    """The context of a type that is not of the standard library, as it is in torch's document.

    That is text (of JSON), unless the type was registered with a way of its own to write its context.
    Raises TreeSpecError where it is not JSON.
    """
    try:
        return json.loads(spec.context or "null")
    except (ValueError, RecursionError):
        raise TreeSpecError(f"the context of the container type {spec.type} is not JSON") from None


def child_names(spec: TreeSpec) -> tuple[str, ...]:
    """Names of the children of a type that is not of the standard library, as its context says them.

    A context is the fields of a dataclass, `[present, absent]`, or the keys that a mapping has. Of any other
    the children are numbered.
    """
    context = custom_context(spec)
    if isinstance(context, str):
        try:
            context = json.loads(context)
        except (ValueError, RecursionError):
            context = None
    if isinstance(context, dict) and len(context) == 1:
        (context,) = context.values()
    for names in (context, context[0]) if isinstance(context, list) and context else ():
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if texts and len(set(names)) == len(names) == len(spec.children):
            return tuple(names)
    return tuple(str(index) for index in range(len(spec.children)))


def leaf_paths(spec: TreeSpec) -> Iterator[tuple[str | int, ...]]:
    """The way to each leaf, in their order: keys and fields as text, places as numbers. A lone leaf has ().

    Raises TreeSpecError where a context cannot be read.
    """
    if spec.type is None:
        yield ()
    for step, child in zip(_steps(spec), spec.children, strict=True):
        for rest in leaf_paths(child):
            yield (step, *rest)


def _steps(spec: TreeSpec) -> Sequence[str | int]:
    places = range(len(spec.children))
    if not spec.children or spec.type in SEQUENCES:
        return places
    if spec.type in MAPPINGS:
        return [str(key) for key in dict_keys(spec)]
    if spec.type == NAMEDTUPLE:
        return spec.fields or places
    names = child_names(spec)
    return places if names == tuple(str(place) for place in places) else names
