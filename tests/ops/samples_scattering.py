"""Calls that write by index, by mask and through views."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample
from tests.ops.samples_shape import DTYPES, ramp

x = ramp(3, 4)
nan, inf = float("nan"), float("inf")
scalar = torch.tensor(2.5)
index = torch.tensor([[0, 1, 1], [3, 0, 3]])
unique = torch.tensor([[0, 1, 2], [3, 0, 1]])
source = torch.linspace(-2, 3, 8).reshape(2, 4)
special = torch.tensor([[nan, -inf, 0.0, 1.0], [2.0, inf, -0.0, nan]])
rows = torch.tensor([2, 0, 2])
bf16, f16 = torch.bfloat16, torch.float16
wide = torch.linspace(-3, 3, 192).reshape(3, 64).to(f16)

SCATTER = [
    Sample("aten.scatter.src", (x, 1, unique, source)),
    Sample("aten.scatter.src", (x, 0, torch.tensor([[2, 0, 1, 1]]), source)),
    Sample("aten.scatter.src", (scalar, 0, torch.tensor(0), torch.tensor(7.0))),
    Sample("aten.scatter.src", (x, 0, torch.empty(0, 4, dtype=torch.int64), source)),
    *(
        Sample("aten.scatter.src", (ramp(2, 3, dtype=d), 1, unique[:, :2] % 3, ramp(2, 2, dtype=d)))
        for d in DTYPES
    ),
    Sample("aten.scatter_.src", (x, 1, unique, source), functional=True),
    Sample("aten.scatter.value", (x, -1, index, 1.5)),
    Sample("aten.scatter.value", (ramp(3, 4, dtype=torch.int64), 1, index, -4)),
    Sample("aten.scatter.value", (ramp(3, 4, dtype=torch.bool), 1, index, True)),
    Sample("aten.scatter.reduce", (x, 1, index, source), {"reduce": "add"}),
    Sample("aten.scatter.reduce", (x, 1, index, source), {"reduce": "multiply"}),
    Sample("aten.scatter.reduce", (x.to(bf16), 1, index, source.to(bf16)), {"reduce": "multiply"}),
    Sample("aten.scatter.value_reduce", (x, 1, index, 1.1), {"reduce": "add"}),
    Sample("aten.scatter.value_reduce", (x, 1, index, 3), {"reduce": "multiply"}),
    Sample("aten.scatter_add.default", (x, 1, index, source)),
    Sample("aten.scatter_add.default", (x, 0, index % 3, source)),
    Sample("aten.scatter_add.default", (x.to(bf16), 1, index, source.to(bf16))),
    Sample(
        "aten.scatter_add.default", (torch.ones(1).to(bf16), 0, index[0] * 0, torch.full((3,), 3e-3).to(bf16))
    ),
    Sample("aten.scatter_add.default", (x.to(torch.int32), 1, index, source.to(torch.int32))),
    Sample("aten.scatter_add.default", (x.to(torch.uint8), 1, index, ramp(2, 4, dtype=torch.uint8) + 200)),
    Sample("aten.scatter_add.default", (x > 0, 1, index, source > 0)),
]

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")
SCATTER_REDUCE = [
    Sample("aten.scatter_reduce.two", (x.to(dtype), 1, index, src.to(dtype), reduce), {"include_self": own})
    for reduce in REDUCTIONS
    for own in (True, False)
    for dtype, src in [
        (torch.float32, source),
        (torch.float32, special),
        (torch.bfloat16, source),
        (torch.float64, source),
        (torch.int64, ramp(2, 4, dtype=torch.int64) * 3),
        (torch.uint8, ramp(2, 4, dtype=torch.uint8)),
    ]
]

ROWS = [
    Sample("aten.index_add.default", (x, 0, rows, ramp(3, 4))),
    Sample("aten.index_add.default", (x, 1, torch.tensor([1, 1]), ramp(3, 2)), {"alpha": 0.3}),
    Sample("aten.index_add.default", (x.to(bf16), 0, rows, (source[:1] / 3).expand(3, 4).to(bf16))),
    Sample("aten.index_add.default", (wide, 0, rows, wide / 3), {"alpha": 0.7}),
    Sample("aten.index_add.default", (wide[0], 0, torch.arange(64), wide[1]), {"alpha": 0.7}),
    Sample("aten.index_add.default", (ramp(4).to(bf16), 0, rows, source[0, :3].to(bf16))),
    Sample(
        "aten.index_add.default",
        (ramp(4, dtype=torch.int64), 0, rows, ramp(3, dtype=torch.int64)),
        {"alpha": 2},
    ),
    Sample("aten.index_add.default", (scalar, 0, torch.tensor([0]), torch.tensor(1.0))),
    Sample("aten.index_add.default", (x, 0, torch.tensor(1), ramp(1, 4))),
    Sample("aten.index_add_.default", (x, 0, rows.int(), ramp(3, 4)), functional=True),
    Sample("aten.index_copy.default", (x, 0, torch.tensor([2, 0]), source)),
    Sample("aten.index_copy.default", (x, -1, torch.tensor([1]), ramp(3, 1))),
    Sample("aten.index_copy.default", (scalar, 0, torch.tensor([0]), torch.tensor([1.0]))),
    *(
        Sample("aten.index_copy.default", (ramp(3, dtype=d), 0, torch.tensor([2]), ramp(1, dtype=d)))
        for d in DTYPES
    ),
    Sample("aten.index_fill.int_Scalar", (x, 1, torch.tensor([0, -1]), 9.5)),
    Sample("aten.index_fill.int_Scalar", (x, 0, torch.empty(0, dtype=torch.int64), 1)),
    Sample("aten.index_fill.int_Scalar", (scalar, 0, torch.tensor([0]), 1)),
    Sample("aten.index_fill.int_Scalar", (ramp(4, dtype=torch.bool), 0, rows, True)),
    Sample("aten.index_fill.int_Tensor", (x, 0, rows, torch.tensor(inf))),
    *(
        Sample("aten.index_reduce.default", (x.to(d), 0, rows, ramp(3, 4).to(d), r), {"include_self": own})
        for r in REDUCTIONS[1:]
        for own in (True, False)
        for d in (torch.float32, torch.int64, torch.bfloat16)
    ),
]

i, j = torch.tensor([0, -1, 0]), torch.tensor([[1], [-2]])
mask = torch.tensor([True, False, True])
grid = torch.tensor([[True, False, True, False], [False] * 4, [True, True, False, False]])
cube = ramp(3, 4, 2)

INDEX_PUT = [
    Sample("aten.index_put.default", (x, [torch.tensor([0, -1])], source)),
    Sample("aten.index_put.default", (x, [None, i[:2]], torch.tensor(7.0))),
    Sample("aten.index_put.default", (x, [i], source[:1]), {"accumulate": True}),
    Sample("aten.index_put.default", (x, [i, j], ramp(2, 1) + 0.5, True)),
    Sample("aten.index_put.default", (cube, [i[:2], None, j], ramp(2, 2, 4), False)),
    Sample("aten.index_put.default", (cube, [None, i[:2], j % 2], ramp(3, 2, 2), False)),
    Sample("aten.index_put.default", (x, [torch.empty(0, dtype=torch.int64)], torch.empty(0, 4))),
    Sample("aten.index_put.default", (x.to(bf16), [i], (source[:1] / 3).to(bf16), True)),
    Sample("aten.index_put.default", (ramp(3, dtype=torch.int64), [i], torch.tensor([5, 6, 7]), True)),
    *(Sample("aten.index_put.default", (ramp(3, dtype=d), [i[:2]], ramp(2, dtype=d))) for d in DTYPES),
    Sample("aten.index_put.default", (x, [grid], torch.tensor(nan))),
    Sample("aten.index_put.default", (x, [mask], torch.tensor([9.0]))),
    Sample("aten.index_put.default", (x, [mask], source)),
    Sample("aten.index_put.default", (x, [mask], source[:1], True)),
    Sample("aten.index_put.default", (x, [grid], ramp(4) * 2, True)),
    Sample("aten.index_put.default", (x, [None, grid[0]], torch.tensor([9.0]))),
    Sample("aten.index_put.default", (x, [None, grid[0]], ramp(3, 1))),
    Sample("aten.index_put.default", (cube, [grid], ramp(2))),
    Sample("aten.index_put_.default", (x, [torch.tensor([0, -1])], source), functional=True),
    Sample("aten._unsafe_index_put.default", (x, [torch.tensor([0, -1])], source)),
    Sample("aten._index_put_impl_.default", (x, [torch.tensor([0, -1])], source), functional=True),
    Sample(
        "aten._unsafe_masked_index_put_accumulate.default",
        (ramp(3), mask, [torch.tensor([1, 9, 1])], torch.ones(3)),
    ),
    Sample("aten.put.default", (x, torch.tensor([[0, -1]]), torch.tensor([[5.0, 6.0]]))),
    Sample("aten.put.default", (x, torch.tensor([3, 3, -9]), torch.ones(3), True)),
]

MASKS = [
    Sample("aten.masked_fill.Scalar", (x, mask[:, None], -inf)),
    Sample("aten.masked_fill.Scalar", (ramp(4), grid, 1)),
    Sample("aten.masked_fill.Scalar", (x.to(f16), grid, -1e4)),
    Sample("aten.masked_fill.Scalar", (ramp(3, 4, dtype=torch.int64), grid, 2.7)),
    Sample("aten.masked_fill.Scalar", (scalar, torch.tensor(True), 0)),
    Sample("aten.masked_fill.Tensor", (x, grid, torch.tensor(3.5))),
    Sample("aten.masked_fill.Tensor", (x.to(bf16), grid, torch.tensor(3.3))),
    Sample("aten.masked_fill_.Scalar", (x, grid, nan), functional=True),
    Sample("aten.masked_scatter.default", (x, grid, source)),
    Sample("aten.masked_scatter.default", (x, mask[:, None], source)),
    Sample("aten.masked_scatter.default", (ramp(3, 4, dtype=torch.int64), ~grid, ramp(9, dtype=torch.int64))),
]

VIEWS = [
    Sample("aten.slice_scatter.default", (x, ramp(3, 2) * 9, 1, 1, 3)),
    Sample("aten.slice_scatter.default", (x, ramp(3, 2) * 9, -1, 0, None, 2)),
    Sample("aten.slice_scatter.default", (x, ramp(3, 1) * 9, 1, 1, 100, 3)),
    Sample("aten.slice_scatter.default", (x, torch.empty(0, 4), 0, 2, 1)),
    Sample("aten.slice_scatter.default", (x, ramp(3, 4) * 9)),
    Sample("aten.slice_scatter.default", (ramp(4, dtype=torch.bool), ramp(2, dtype=torch.bool), 0, 1, 4, 2)),
    Sample("aten.select_scatter.default", (x, ramp(3), -1, -2)),
    Sample("aten.select_scatter.default", (ramp(3, dtype=torch.int64), torch.tensor(9), 0, 1)),
    Sample("aten.diagonal_scatter.default", (x, torch.full((3,), nan))),
    Sample("aten.diagonal_scatter.default", (cube, ramp(2, 3) * 7, -1, 1, 0)),
    Sample("aten.as_strided_scatter.default", (x, ramp(2, 2) * 9, [2, 2], [5, 2], 1)),
    Sample("aten.fill_diagonal_.default", (x, 7.5), functional=True),
    Sample("aten.fill_diagonal_.default", (ramp(7, 3), 9.5), functional=True),
    Sample("aten.fill_diagonal_.default", (ramp(7, 3), 9.5, True), functional=True),
    Sample("aten.fill_diagonal_.default", (ramp(3, 3, 3, dtype=torch.int64), 9), functional=True),
]

SAMPLES = [*SCATTER, *SCATTER_REDUCE, *ROWS, *INDEX_PUT, *MASKS, *VIEWS]
