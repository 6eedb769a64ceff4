"""How a call's leaves are named: by the caller (`batch['a']`) and in guards (`L['batch']['a']`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lowering.ir.tree import TreeSpec, dict_keys
from lowering.ir.tree_spec import STANDARD, child_names

_MAPPINGS = ("builtins.dict", "collections.OrderedDict", "collections.defaultdict")


class LeafPath(NamedTuple):
    """`label` for people, `source` as guards write it."""

    label: str
    source: str


def leaf_paths(in_spec: TreeSpec, names: Sequence[str]) -> list[LeafPath]:
    """The path of every leaf of a call's `(args, kwargs)`, in order."""
    positional, keyword = top_level_names(in_spec, names)
    args, kwargs = in_spec.children
    paths: list[LeafPath] = []
    children = (*args.children, *kwargs.children)
    for name, child in zip((*positional, *keyword), children, strict=True):
        paths.extend(LeafPath(name + path, f"L[{name!r}]{path}") for path in _below(child))
    return paths


def top_level_names(in_spec: TreeSpec, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of a call's positional and of its keyword arguments."""
    args, kwargs = in_spec.children
    keyword = [str(key) for key in dict_keys(kwargs)]
    # The exporter writes the positional ones first. One without a name of its own has a number.
    known = list(names[: len(args.children)])
    taken = set(keyword)
    positional: list[str] = []
    for index in range(len(args.children)):
        name = known[index] if index < len(known) and known[index] not in taken else f"argument{index}"
        taken.add(name)
        positional.append(name)
    return positional, keyword


def rename(text: str, paths: Sequence[LeafPath]) -> str:
    """A guard's text in the caller's words: `L['x'].size()[0]` becomes `x.size(0)`."""
    for path in sorted(paths, key=lambda path: -len(path.source)):
        text = text.replace(path.source, path.label)
    for access in ("size", "stride"):
        head, *rest = text.split(f".{access}()[")
        text = head + "".join(f".{access}({part.replace(']', ')', 1)}" for part in rest)
    return text


def _below(spec: TreeSpec) -> Iterator[str]:
    if spec.type is None:
        yield ""
        return
    for step, child in zip(_steps(spec), spec.children, strict=True):
        for path in _below(child):
            yield step + path


def _steps(spec: TreeSpec) -> list[str]:
    """How Python reaches each child of a container."""
    if spec.type in _MAPPINGS:
        return [f"[{key!r}]" for key in dict_keys(spec)]
    if spec.type == "collections.namedtuple" and spec.fields:
        return [f".{name}" for name in spec.fields]
    if spec.type not in STANDARD:
        return [f"[{name!r}]" for name in child_names(spec)]
    return [f"[{index}]" for index in range(len(spec.children))]
