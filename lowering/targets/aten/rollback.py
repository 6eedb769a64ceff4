"""Writes in place on ATen that can be taken back, so that a call that fails changes nothing.

Before a buffer is written, the elements that will be are saved: rows by their index where the operator says
which, else all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from lowering.ir import aten
from lowering.targets.aten import operators as targets

# Functional writes through a view: the view to copy into.
VIEW_WRITES = {
    "aten.slice_scatter.default": "aten.slice.Tensor",
    "aten.select_scatter.default": "aten.select.int",
    "aten.diagonal_scatter.default": "aten.diagonal.default",
}
_ROWS = frozenset(("index_copy", "index_add", "index_fill", "index_reduce"))
_ELEMENTS = frozenset(("scatter", "scatter_add", "scatter_reduce"))
_INDEXED = frozenset(("index_put", "_unsafe_index_put", "_index_put_impl"))

Undo = Callable[[], Any]
Arguments = Mapping[str, Any]


def namesake(target: str) -> str | None:
    """The overload that does in place what this functional one does, or None."""
    if target in VIEW_WRITES:
        return target
    namespace, _, rest = target.partition(".")
    name, _, overload = rest.partition(".")
    schema, found = aten.schema(target), aten.schema(f"{namespace}.{name}_.{overload}")
    if schema is None or found is None or any(result.alias for result in schema.returns):
        return None
    if {"inplace_view", "nondeterministic_seeded"} & found.tags or not found.parameters[0].writes:
        return None
    same = [parameter.name for parameter in schema.parameters] == [p.name for p in found.parameters]
    return found.target if same else None


def writer(target: str) -> Callable[..., Any]:
    """What does to its first argument what this functional operator does to a copy, and returns it."""
    view = VIEW_WRITES.get(target)
    if view is None:
        return targets.resolve(namesake(target) or target)
    look = targets.resolve(view)

    def write(*, self: torch.Tensor, src: torch.Tensor, **where: Any) -> torch.Tensor:
        look(self, **where).copy_(src)
        return self

    return write


def prepare(target: str, tensor: torch.Tensor, arguments: Arguments) -> tuple[torch.Tensor, Undo | None]:
    """The tensor to write to, and what takes the write back.

    That is a copy, and nothing, where some of the elements perhaps share memory or the indices are wrong: the
    operator itself will say so, and it may have written some rows before.
    """
    if torch._debug_has_internal_overlap(tensor):  # pyright: ignore[reportPrivateImportUsage]
        return tensor.clone(), None
    try:
        return tensor, _undo(target, tensor, arguments)
    except (IndexError, RuntimeError):
        return tensor.clone(), None


def _undo(target: str, tensor: torch.Tensor, arguments: Arguments) -> Undo:
    view = VIEW_WRITES.get(target)
    if view is not None:
        where = {name: value for name, value in arguments.items() if name not in ("self", "src")}
        part = targets.resolve(view)(tensor, **where)
        return _restore(part, part.clone())
    name = target.split(".")[1].removesuffix("_")
    if tensor.dim() and name in _ROWS:
        dim, index = arguments["dim"], arguments["index"]
        rows = tensor.index_select(dim, index)
        return lambda: tensor.index_copy_(dim, index, rows)
    if tensor.dim() and name in _ELEMENTS:
        dim, index = arguments["dim"], arguments["index"]
        elements = tensor.gather(dim, index)
        return lambda: tensor.scatter_(dim, index, elements)
    if name in _INDEXED:
        indices = arguments["indices"]
        picked = torch.ops.aten.index.Tensor(tensor, indices)
        return lambda: torch.ops.aten.index_put_.default(tensor, indices, picked)
    return _restore(tensor, tensor.clone())


def _restore(tensor: torch.Tensor, before: torch.Tensor) -> Undo:
    return lambda: tensor.copy_(before)
