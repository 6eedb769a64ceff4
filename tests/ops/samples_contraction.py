"""Samples of `lowering/stablehlo/ops/contraction.py`."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

torch.manual_seed(3)
NAN = float("nan")


def rand(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape).to(dtype)


EQUATIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("ij,jk", (3, 4), (4, 5)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("ij->ji", (3, 4)),
    ("ij", (3, 4)),
    ("ba", (3, 4)),
    ("ij->", (3, 4)),
    ("ii->i", (4, 4)),
    ("ii", (4, 4)),
    ("iij->ji", (3, 3, 2)),
    ("iii->i", (3, 3, 3)),
    ("i,j->ij", (3,), (4,)),
    ("i,j->ji", (3,), (4,)),
    ("i,i->", (5,), (5,)),
    ("i,i->i", (5,), (5,)),
    ("ij,kl->", (3, 4), (5, 6)),
    ("...ij,...jk->...ik", (2, 3, 4), (5, 1, 4, 6)),
    ("...ij,jk", (2, 3, 4), (4, 6)),
    ("i...,i...->...", (3, 4, 5), (3, 5)),
    ("ij,ij->i", (1, 4), (3, 4)),
    ("ij,jk->ik", (3, 1), (4, 5)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    ("ab,cd,bc->da", (2, 3), (4, 5), (3, 4)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    ("aB, Bc -> ca", (2, 3), (3, 4)),
    ("Ba,aC", (2, 3), (3, 4)),
    (",ij->ij", (), (2, 3)),
    ("ij,jk->ik", (3, 0), (0, 5)),
]

SAMPLES = [
    *(
        Sample(
            "aten.einsum.default", (equation, [rand(*shape) for shape in shapes]), name=f"einsum-{equation}"
        )
        for equation, *shapes in EQUATIONS
    ),
    *(
        Sample("aten.einsum.default", ("bij,bjk->bik", [rand(2, 3, 4, dtype=t), rand(2, 4, 5, dtype=t)]))
        for t in (torch.float16, torch.bfloat16, torch.float64, torch.complex64)
    ),
    Sample("aten.einsum.default", ("ij,jk", [torch.randint(-9, 9, (3, 4)), torch.randint(-9, 9, (4, 5))])),
    Sample("aten.einsum.default", ("ii->i", [torch.tensor([[1.0, NAN], [NAN, 2.0]])]), name="einsum-nan"),
    Sample(
        "aten.einsum.default",
        ("ab,bc,cd->ad", [rand(2, 3), rand(3, 4), rand(4, 5)]),
        {"path": [1, 2, 0, 1]},
        name="einsum-path",
    ),
    Sample("aten.tensordot.default", (rand(3, 4, 5), rand(4, 3, 6), [1, 0], [0, 1])),
    Sample("aten.tensordot.default", (rand(3, 4), rand(5, 6), [], [])),
    Sample("aten.tensordot.default", (rand(3, 4, 5), rand(5, 2), [-1], [0])),
    Sample("aten.tensordot.default", (rand(3, 4).half(), rand(4, 2).half(), [1], [0])),
    Sample("aten.bilinear.default", (rand(6, 3), rand(6, 4), rand(5, 3, 4), rand(5))),
    Sample("aten.bilinear.default", (rand(2, 6, 3), rand(2, 6, 4), rand(5, 3, 4))),
    Sample("aten.bilinear.default", (rand(3), rand(4), rand(5, 3, 4), rand(5))),
]
