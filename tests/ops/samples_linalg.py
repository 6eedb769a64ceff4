"""Calls of linear algebra. IREE runs each overload's first."""

from __future__ import annotations

import torch

from tests.ops.data import floats
from tests.ops.driver import Sample

_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
_GENERATOR = torch.Generator().manual_seed(3)


def matrices(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=_GENERATOR)


def positive(n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    a = matrices(2, n, n, dtype=dtype)
    return a @ a.mH + n * torch.eye(n, dtype=dtype)


def _ldl(dtype: torch.dtype, hermitian: bool) -> Sample:
    """Of an indefinite matrix, whose D has blocks of 1 and of 2, with rows exchanged for both."""
    a = matrices(2, 7, 7, dtype=dtype)
    a = a + (a.mH if hermitian else a.mT)
    a[0].fill_diagonal_(0)
    packed, pivots = torch.linalg.ldl_factor(a, hermitian=hermitian)
    assert (pivots < 0).any()
    assert (pivots > 0).any()
    arguments = (packed, pivots, matrices(2, 7, 3, dtype=dtype))
    loose = {"rtol": 1e-3, "atol": 1e-4} if dtype in (torch.float32, torch.complex64) else {}
    return Sample("aten.linalg_ldl_solve.default", arguments, {"hermitian": hermitian}, **loose)


def _of(dtype: torch.dtype) -> list[Sample]:
    square, tall, wide = (matrices(*shape, dtype=dtype) for shape in ((2, 4, 4), (5, 3), (3, 5)))
    sides = matrices(2, 4, 3, dtype=dtype)
    packed, pivots = torch.linalg.lu_factor(square)
    root = torch.linalg.cholesky(positive(4, dtype))
    vectors, taus = torch.geqrf(tall)
    loose = {"rtol": 1e-3, "atol": 1e-4} if dtype in (torch.float32, torch.complex64) else {}
    return [
        *(Sample("aten.linalg_lu_factor_ex.default", (a,), **loose) for a in (square, tall, wide)),
        *(Sample("aten.linalg_lu.default", (a,), **loose) for a in (tall, wide)),
        Sample("aten.lu_unpack.default", (packed, pivots)),
        *(
            Sample(
                "aten.linalg_lu_solve.default",
                (packed, pivots, b),
                {"left": left, "adjoint": adjoint},
                **loose,
            )
            for left, b in ((True, sides), (False, sides.mT))
            for adjoint in (False, True)
        ),
        Sample("aten.linalg_solve.default", (square, sides), **loose),
        Sample("aten.linalg_solve.default", (square[0], matrices(4, dtype=dtype)), **loose),
        Sample("aten.linalg_inv.default", (square,), **loose),
        Sample("aten.linalg_det.default", (square,), **loose),
        Sample("aten.linalg_slogdet.default", (square,), **loose),
        *(
            Sample("aten.linalg_cholesky_ex.default", (positive(4, dtype),), {"upper": u}, **loose)
            for u in (False, True)
        ),
        Sample("aten.cholesky_solve.default", (sides, root), **loose),
        Sample("aten.cholesky_inverse.default", (root.mH, True), **loose),
        *(
            Sample("aten.linalg_solve_triangular.default", (a, b), {"upper": upper, "left": left}, **loose)
            for a, upper in ((root, False), (root.mH, True))
            for left, b in ((True, sides), (False, sides.mT))
        ),
        *(
            Sample("aten.linalg_qr.default", (a, mode), **loose)
            for a in (tall, wide)
            for mode in ("reduced", "complete")
        ),
        Sample("aten.linalg_householder_product.default", (vectors, taus), **loose),
        Sample("aten.ormqr.default", (vectors, taus, matrices(5, 2, dtype=dtype), True, True), **loose),
        Sample("aten.linalg_eigvalsh.default", (positive(5, dtype),), **loose),
        Sample("aten.linalg_svdvals.default", (wide,), **loose),
        Sample("aten.linalg_pinv.atol_rtol_tensor", (tall,), **loose),
        # Eager's digits, so that no squaring is off: of norms that take squarings, and none.
        *(Sample("aten.linalg_matrix_exp.default", (square * scale,)) for scale in (9, 1, 0.05)),
        Sample("aten.linalg_matrix_exp.default", (matrices(12, 12, dtype=dtype),), **loose),
    ]


# The first of each overload is IREE's: a factor and a flag of one matrix; matrices of one row or column.
SAMPLES = [
    Sample("aten.linalg_cholesky_ex.default", (positive(4)[0],)),
    *(Sample(f"aten.linalg_{name}.default", (floats(1, 1),)) for name in ("det", "slogdet", "inv")),
    Sample("aten.linalg_solve.default", (floats(2, 1, 1), floats(2, 1, 3))),
    Sample("aten.linalg_lu.default", (floats(3, 1),)),
    Sample("aten.linalg_lu_factor.default", (floats(1, 3),)),
]
SAMPLES += [sample for dtype in _DTYPES for sample in _of(dtype)]
SAMPLES += [_ldl(dtype, hermitian) for dtype in _DTYPES for hermitian in (False, True)]
SAMPLES += [
    Sample("aten.linalg_householder_product.default", (floats(2, 4, 3), floats(2, 0))),
    Sample("aten.ormqr.default", (floats(3, 0), floats(0), floats(3, 2))),
    Sample("aten.linalg_det.default", (floats(3, 0, 0),)),
    Sample("aten.linalg_inv.default", (floats(0, 3, 3),)),
    Sample("aten.linalg_lu_factor_ex.default", (torch.tensor([[1.0, 2.0], [2.0, 4.0]]),)),
    Sample("aten.linalg_cholesky_ex.default", (torch.tensor([[4.0, 0.0], [0.0, -1.0]]),)),
]
