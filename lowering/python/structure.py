"""The structure of a call in source: arguments taken apart into values, results put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lowering.ir.program import Arg, InputKind, OutputKind, Program, Ref
from lowering.ir.tree_spec import (
    DEFAULT,
    DEQUE,
    DICT,
    LIST,
    MAPPINGS,
    NAMEDTUPLE,
    ORDERED,
    TUPLE,
    TreeSpec,
    child_names,
    deque_length,
    dict_keys,
)
from lowering.ir.types import SymType, TensorType, ValueType
from lowering.python.errors import NoSource
from lowering.python.expressions import Part, argument, literal, quoted
from lowering.python.identifiers import Names, identifier, is_identifier


def parameters(program: Program) -> tuple[list[str], dict[str, str]]:
    """The parameters of the forward, annotated, and the text of each input's value, by the value's name."""
    spec = program.signature.in_spec
    if spec.type != TUPLE or len(spec.children) != 2 or spec.children[1].type != DICT:
        raise NoSource("the program's inputs are not positional and keyword arguments")
    positional, keyword = spec.children
    keys = [str(key) for key in dict_keys(keyword)] if keyword.children else []
    names = Names()
    given = list(program.signature.argument_names)[: len(positional.children)]
    given += [f"args_{i}" for i in range(len(given), len(positional.children))]
    texts = [names.fresh(identifier(name, "args")) for name in given]
    for key in keys:
        if not is_identifier(key) or key in texts:
            raise NoSource(f"the keyword argument {key!r} is not a name that Python takes")
    texts += keys
    places = [
        place
        for child, text in zip((*positional.children, *keyword.children), texts, strict=True)
        for place in _places(child, text)
    ]
    specs = [s for s in program.signature.inputs if s.kind in (InputKind.USER, InputKind.LITERAL)]
    if len(places) != len(specs):
        raise NoSource("the program's inputs do not fit their structure")
    values = {s.name: place for s, place in zip(specs, places, strict=True) if s.kind is InputKind.USER}
    types = {text: annotation(program.graph.values.get(name)) for name, text in values.items()}
    return [f"{text}{types.get(text, '')}" for text in texts], values


def annotation(type_: ValueType | None) -> str:
    """The annotation after a parameter's name."""
    if isinstance(type_, SymType):
        return f": {type_.kind.value}"
    return ": Tensor" if isinstance(type_, TensorType) else ""


def _places(spec: TreeSpec, text: str) -> Iterator[str]:
    """The text of each leaf of an argument."""
    if spec.type is None:
        yield text
    elif spec.type in (TUPLE, LIST, DEQUE) or (spec.type == NAMEDTUPLE):
        for index, child in enumerate(spec.children):
            yield from _places(child, f"{text}[{index}]")
    elif spec.type in MAPPINGS:
        for key, child in zip(dict_keys(spec) if spec.children else (), spec.children, strict=True):
            yield from _places(child, f"{text}[{_key(key)}]")
    elif spec.leaves:
        raise NoSource(f"an argument is a {spec.type}, which source cannot take apart")


def _key(key: object) -> str:
    if not isinstance(key, str | int | float | bool | None):
        raise NoSource(f"a dictionary has a key of the kind {type(key).__name__}")
    return literal(key)


def returned(program: Program) -> list[Part]:
    """The parts of the expression that the forward returns."""
    leaves = iter([s.value for s in program.signature.outputs if s.kind is OutputKind.USER])
    return list(_built(program.signature.out_spec, leaves, True))


def _built(spec: TreeSpec, leaves: Iterator[Arg], outermost: bool = False) -> Iterator[Part]:
    kind = spec.type
    if kind is None:
        value = next(leaves)
        yield from argument(value) if isinstance(value, Ref) else (literal(value),)
        return
    items = [list(_built(child, leaves)) for child in spec.children]
    if kind == TUPLE:
        bare = outermost and len(items) > 1
        yield "" if bare else "("
        yield from _listed(items)
        yield "" if bare else ",)" if len(items) == 1 else ")"
    elif kind in (LIST, DEQUE):
        yield "[" if kind == LIST else "collections.deque(["
        yield from _listed(items)
        yield "]" if kind == LIST else f"], maxlen={deque_length(spec.context or 'null')!r})"
    elif kind == NAMEDTUPLE and spec.fields:
        if not all(map(is_identifier, spec.fields)) or len(spec.fields) != len(items):
            raise NoSource(f"a result is a {spec.context}, whose fields are not names that Python takes")
        name = identifier((spec.context or "").rpartition(".")[2])
        yield f"collections.namedtuple({quoted(name)}, {quoted(' '.join(spec.fields))})("
        yield from _listed(items)
        yield ")"
    elif kind in (DICT, ORDERED):
        keys = [_key(key) for key in (dict_keys(spec) if items else ())]
        yield "{" if kind == DICT else "collections.OrderedDict({"
        yield from _listed([[f"{key}: ", *item] for key, item in zip(keys, items, strict=True)])
        yield "}" if kind == DICT else "})"
    elif kind in (DEFAULT, NAMEDTUPLE):
        raise NoSource(f"a result is a {spec.context or kind}, which source cannot put together")
    else:
        # As for whoever calls a program without the package that defines the type.
        names = [literal(str(name)) for name in child_names(spec)]
        yield "{"
        yield from _listed([[f"{name}: ", *item] for name, item in zip(names, items, strict=True)])
        yield "}"


def _listed(items: Sequence[Sequence[Part]]) -> Iterator[Part]:
    for index, item in enumerate(items):
        if index:
            yield ", "
        yield from item
