"""Refusals of torch tensors whose meaning beyond their elements a call would lose."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

from lowering.ir.types import Layout, TensorType


def lost_meaning(given: torch.Tensor, type_: TensorType) -> str:
    """Why the program cannot take this tensor, as the end of a sentence; empty where it can.

    Asked before its sizes: a nested tensor has none.
    """
    layout = str(given.layout).removeprefix("torch.")
    if layout != type_.layout.value:
        return f"is {layout}, the program takes {type_.layout.value}"
    if type_.layout is not Layout.STRIDED:
        return f"is {layout}: inputs of that layout are not taken yet"
    if given.is_nested:
        return "is a nested tensor, the program takes plain tensors"
    if _is_transformed(given):
        return "is traced by torch.func, which does not see into the program: call it outside"
    if type(given.detach()) is not torch.Tensor:
        return f"is a {type(given).__name__}, the program takes plain tensors"
    if given.requires_grad and torch.is_grad_enabled():
        return (
            "requires grad, and the program's results have no history: "
            "pass {}.detach(), or call under torch.no_grad()"
        )
    if has_tangents() and forward_ad.unpack_dual(given).tangent is not None:
        return "has a tangent, and the program's results have none: pass the primal"
    return ""


def _is_transformed(given: torch.Tensor) -> bool:
    """Whether it stands for a tensor inside vmap, grad, jvp or functionalize."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(given)  # pyright: ignore[reportAttributeAccessIssue]
    return wrapped or torch._is_functional_tensor(given)  # pyright: ignore[reportPrivateImportUsage]


def has_tangents() -> bool:
    """Whether tensors may have tangents now: forward-mode differentiation is on."""
    return forward_ad._current_level >= 0
