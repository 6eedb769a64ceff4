"""Writes in place on ATen that can be taken back, so that a call that fails changes nothing.

Before a buffer is written, the affected elements are saved: the rows of the operator's index, or else all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from lowering.ir.facts.indices import Addresses, addresses
from lowering.ir.facts.twins import in_place_twin
from lowering.ir.facts.views import written_part
from lowering.targets.aten import operators

Rollback = Callable[[], Any]
Arguments = Mapping[str, Any]
# Saves elements of a tensor before an operator of these arguments writes them.
Save = Callable[[torch.Tensor, Arguments], Rollback]


def writer(target: str) -> Callable[..., Any]:
    """The in-place variant of a functional operator, which returns its first argument."""
    view = written_part(target)
    if view is None:
        return operators.resolve(in_place_twin(target) or target)
    look = operators.resolve(view)

    def write(*, self: torch.Tensor, src: torch.Tensor, **where: Any) -> torch.Tensor:
        look(self, **where).copy_(src)
        return self

    return write


def prepare(save: Save, tensor: torch.Tensor, arguments: Arguments) -> tuple[torch.Tensor, Rollback | None]:
    """The tensor to write to, and the function that takes the write back.

    The tensor is a copy, without a function, where elements perhaps share memory or the indices are wrong.
    Then the operator itself fails, perhaps after it has written some rows.
    """
    if torch._debug_has_internal_overlap(tensor):  # pyright: ignore[reportPrivateImportUsage]
        return tensor.clone(), None
    try:
        return tensor, save(tensor, arguments)
    except (IndexError, RuntimeError):
        return tensor.clone(), None


def saver(target: str) -> Save:
    """The function that saves the elements that an operator is about to write. It is found once, not at each
    call."""
    view = written_part(target)
    if view is None:
        addressed = addresses(target)
        return _save_all if addressed is None else _SAVERS[addressed]
    look = operators.resolve(view)

    def save(tensor: torch.Tensor, arguments: Arguments) -> Rollback:
        where = {name: value for name, value in arguments.items() if name not in ("self", "src")}
        return _save_all(look(tensor, **where), arguments)

    return save


def _save_all(tensor: torch.Tensor, _: Arguments) -> Rollback:
    before = tensor.clone()
    return lambda: tensor.copy_(before)


def _save_rows(tensor: torch.Tensor, arguments: Arguments) -> Rollback:
    if not tensor.dim():
        return _save_all(tensor, arguments)
    dim, index = arguments["dim"], arguments["index"]
    rows = tensor.index_select(dim, index)
    return lambda: tensor.index_copy_(dim, index, rows)


def _save_elements(tensor: torch.Tensor, arguments: Arguments) -> Rollback:
    if not tensor.dim():
        return _save_all(tensor, arguments)
    dim, index = arguments["dim"], arguments["index"]
    elements = tensor.gather(dim, index)
    return lambda: tensor.scatter_(dim, index, elements)


def _save_points(tensor: torch.Tensor, arguments: Arguments) -> Rollback:
    indices = arguments["indices"]
    picked = torch.ops.aten.index.Tensor(tensor, indices)
    return lambda: torch.ops.aten.index_put_.default(tensor, indices, picked)


_SAVERS: Mapping[Addresses, Save] = {
    Addresses.ROW: _save_rows,
    Addresses.ELEMENT: _save_elements,
    Addresses.POINT: _save_points,
}
