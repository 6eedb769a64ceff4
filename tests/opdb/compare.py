"""One case's results against eager's: dtype, sizes, values; invariants where an answer is not unique."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.testing._comparison import default_tolerances

from tests.opdb.selection import UNDEFINED, own_tolerance

# What a result may be off, in multiples of the tolerance that op_db or torch.testing gives.
FACTORS = (1, 10)


@dataclass(frozen=True)
class Verdict:
    """`problem` is empty where the results are equal, which then took `factor` times the tolerance."""

    problem: str = ""
    factor: int = 1


def compare(
    name: str,
    dtype: str,
    inputs: Sequence[Any],
    got: Sequence[Any],
    want: Sequence[Any],
    stable: bool = False,
) -> Verdict:
    """Compare the flat results of one case. `inputs` are the flat inputs, before the call; `stable`: equal
    elements are to keep their order."""
    if len(got) != len(want):
        return Verdict(f"{len(got)} results, eager gives {len(want)}")
    for at, (a, b) in enumerate(zip(got, want, strict=True)):
        if problem := _kinds(a, b):
            return Verdict(f"result {at} {problem}")
    if name in UNDEFINED:
        return Verdict()
    problem = ""
    for factor in FACTORS:
        problem = _values(got, want, _tolerance(name, dtype), factor)
        if not problem:
            return Verdict(factor=factor)
    if name in TIES and not stable and inputs:
        problem = _ties(inputs[0], got, want) and problem
    if name in NOT_UNIQUE:
        problem = NOT_UNIQUE[name](inputs, got, want)
    return Verdict(problem)


def _tolerance(name: str, dtype: str) -> Callable[[torch.dtype], tuple[float, float]]:
    """Tolerances by the dtype of a result: op_db's own are taken where they are wider."""
    rtol, atol = own_tolerance(name, dtype)

    def of(kind: torch.dtype) -> tuple[float, float]:
        if not (kind.is_floating_point or kind.is_complex):
            return 0.0, 0.0
        own = default_tolerances(kind)
        return max(rtol, own[0]), max(atol, own[1])

    return of


def _kinds(got: Any, want: Any) -> str:
    if not isinstance(want, torch.Tensor):
        return "" if type(got) is type(want) else f"is a {type(got).__name__}, eager gives {want!r}"
    if not isinstance(got, torch.Tensor):
        return f"is a {type(got).__name__}, eager gives a tensor"
    if got.dtype != want.dtype:
        return f"is {got.dtype}, eager gives {want.dtype}"
    if got.layout != want.layout:
        return f"is {got.layout}, eager gives {want.layout}"
    if got.shape != want.shape:
        return f"has sizes {list(got.shape)}, eager gives {list(want.shape)}"
    return ""


def _values(got: Sequence[Any], want: Sequence[Any], tolerance: Any, factor: int) -> str:
    for at, (a, b) in enumerate(zip(got, want, strict=True)):
        if isinstance(b, torch.Tensor):
            rtol, atol = tolerance(b.dtype)
            problem = _close(a, b, rtol * factor, atol * factor)
        else:
            problem = "" if a == b or (a != a and b != b) else f"is {a!r}, eager gives {b!r}"
        if problem:
            return f"result {at} {problem}"
    return ""


def _close(got: torch.Tensor, want: torch.Tensor, rtol: float, atol: float) -> str:
    """Where two tensors differ by more than `atol + rtol * |want|`; empty if nowhere."""
    got, want = (t.detach().to_dense().resolve_conj().resolve_neg() for t in (got, want))
    near = torch.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
    if bool(near.all()):
        return ""
    at = int((~near).flatten().to(torch.uint8).argmax())
    a, b = got.flatten()[at].item(), want.flatten()[at].item()
    place = [int(i) for i in torch.unravel_index(torch.tensor(at), want.shape)]
    count = f"{int((~near).sum())} of {near.numel()}"
    return f"differs in {count} elements, first at {place}: {a:.8g}, eager gives {b:.8g}"


# ------------------------------------------------------------------- order of equal elements

# Indices of equal elements come in any order; those that the indices point at must be eager's.
TIES = frozenset({"argsort", "kthvalue", "sort", "topk"})


def _ties(source: torch.Tensor, got: Sequence[Any], want: Sequence[Any]) -> str:
    """Whether indices differ by more than the order of equal elements, along the axis that they are of."""
    mine, theirs, values = got[-1], want[-1], want[:-1]
    if source.dim() == 0 or any(not torch.equal(a, b) for a, b in zip(got[:-1], values, strict=True)):
        return "values differ"
    for dim in range(source.dim()):
        read, wanted = _pointed_at(source, mine, dim), _pointed_at(source, theirs, dim)
        if read is None or wanted is None or not torch.equal(read, wanted):
            continue
        if values and not torch.equal(wanted.reshape(values[0].shape), values[0]):
            continue
        return ""
    return "other elements"


def _pointed_at(source: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor | None:
    """The elements that indices along an axis mean; None where they name one twice or do not fit."""
    if index.dim() == source.dim() - 1:
        index = index.unsqueeze(dim)
    fits = index.dim() == source.dim() and all(
        axis == dim or size == source.shape[axis] for axis, size in enumerate(index.shape)
    )
    if not fits or (index.numel() and (index.min() < 0 or index.max() >= source.shape[dim])):
        return None
    ordered = index.sort(dim).values
    if bool((ordered.diff(dim=dim) == 0).any()):
        return None
    return source.gather(dim, index)


# ------------------------------------------------------------------- answers that are not unique
#
# Signs, phases and bases of eigenspaces are free. What must hold instead: sizes and dtypes (compared before),
# the unique part (singular values, eigenvalues, pivots) equal, and the factors multiply to the input.

_LOOSE = {torch.float32: 1e-3, torch.complex64: 1e-3, torch.float64: 1e-8, torch.complex128: 1e-8}


def _near(a: torch.Tensor, b: torch.Tensor, what: str) -> str:
    if a.shape != b.shape:
        return f"{what} has sizes {list(a.shape)}, wanted are {list(b.shape)}"
    if not a.numel():
        return ""
    scale = max(1.0, float(b.abs().max()))
    gap = float((a - b).abs().max())
    return (
        "" if gap <= _LOOSE[b.dtype] * scale else f"{what} is off by {gap:.3g} (largest element {scale:.3g})"
    )


def _orthonormal(q: torch.Tensor, what: str) -> str:
    eye = torch.eye(q.shape[-1], dtype=q.dtype).expand(*q.shape[:-2], -1, -1)
    return _near(q.mH @ q, eye, f"{what}ᴴ{what}")


def _svd(inputs: Sequence[Any], got: Sequence[Any], want: Sequence[Any], adjoint: bool) -> str:
    """A = U S Vᴴ with orthonormal columns; `adjoint`: Vᴴ is returned, not V."""
    if len(got) != 3:
        return _near(got[0], want[0], "S")
    u, s, v = got
    vh = v if adjoint else v.mH
    k = s.shape[-1]
    rebuilt = (u[..., :, :k] * s.unsqueeze(-2)) @ vh[..., :k, :]
    return (
        _near(s, want[1], "S")
        or _orthonormal(u, "U")
        or _orthonormal(vh.mH, "V")
        or _near(rebuilt, inputs[0], "U S Vᴴ")
    )


def _qr(inputs: Sequence[Any], got: Sequence[Any], want: Sequence[Any]) -> str:
    """A = Q R with Q orthonormal and R upper triangular."""
    q, r = got
    if not q.numel():
        return ""
    return _near(r.triu(), r, "R") or _orthonormal(q, "Q") or _near(q @ r, inputs[0], "Q R")


def _eigh(inputs: Sequence[Any], got: Sequence[Any], want: Sequence[Any]) -> str:
    """A V = V diag(w) with V orthonormal, for the Hermitian matrix that eager's own factors give."""
    w, v = got
    a = (want[1] * want[0].unsqueeze(-2)) @ want[1].mH
    return _near(w, want[0], "w") or _orthonormal(v, "V") or _near(a @ v, v * w.unsqueeze(-2), "A V")


def _eig(inputs: Sequence[Any], got: Sequence[Any], want: Sequence[Any]) -> str:
    """A V = V diag(w), columns of norm 1."""
    w, v = got
    a = inputs[0].to(w.dtype)
    norms = torch.linalg.vector_norm(v, dim=-2)
    return _near(a @ v, v * w.unsqueeze(-2), "A V") or _near(norms, torch.ones_like(norms), "norms of V")


def _low_rank(inputs: Sequence[Any], got: Sequence[Any], want: Sequence[Any]) -> str:
    """U S Vᴴ, an approximation of the input, is eager's; so are the singular values."""
    mine, theirs = ((u * s.unsqueeze(-2)) @ v.mH for u, s, v in (got, want))
    return _near(got[1], want[1], "S") or _orthonormal(got[0], "U") or _near(mine, theirs, "U S Vᴴ")


NOT_UNIQUE: dict[str, Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], str]] = {
    "svd": lambda i, g, w: _svd(i, g, w, adjoint=False),
    "linalg.svd": lambda i, g, w: _svd(i, g, w, adjoint=True),
    "qr": _qr,
    "linalg.qr": _qr,
    "linalg.eigh": _eigh,
    "linalg.eig": _eig,
    "pca_lowrank": _low_rank,
    "svd_lowrank": _low_rank,
}
