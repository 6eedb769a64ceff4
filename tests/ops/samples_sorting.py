"""Calls that sort, select and search."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample

nan, inf = float("nan"), float("inf")
x = torch.tensor([[3.0, -1.5, 2.25, 0.0, 7.0], [1.0, 6.0, -4.0, 5.0, 0.5]])
ties = torch.tensor([[2.0, nan, 1.0, -0.0, 2.0, 0.0, inf, nan, -inf, 1.0]])
cube = torch.tensor([5, 2, 9, -1, 0, 7, 3, 8, 1, 6, 4, -2]).reshape(2, 3, 2)
scalar = torch.tensor(2.5)
big = torch.tensor([2**53 + 1, 2**53, -(2**60), 2**53 + 2])
modal = torch.tensor([[2.0, nan, 1.0, nan, 1.0, 2.0, 1.0], [nan, 3.0, -0.0, 0.0, nan, 3.0, -0.0]])
FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
DTYPES = [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.int64, torch.int8]

SORT = [
    Sample("aten.sort.default", (x,)),
    Sample("aten.sort.default", (ties,)),
    Sample("aten.sort.default", (ties, -1, True)),
    Sample("aten.sort.default", (cube, 1, True)),
    Sample("aten.sort.default", (scalar,)),
    Sample("aten.sort.default", (torch.empty(2, 0),)),
    Sample("aten.sort.default", (big,)),
    Sample("aten.sort.default", (torch.tensor([1, 255, 0, 128], dtype=torch.uint8),)),
    Sample("aten.sort.default", (torch.tensor([True, False, True, False]),)),
    *(Sample("aten.sort.default", (x.to(dtype), 0)) for dtype in DTYPES),
    *(Sample("aten.sort.default", (ties.to(dtype),)) for dtype in DTYPES[:3]),
    Sample("aten.sort.stable", (x,), {"stable": True}),
    Sample("aten.sort.stable", (ties,), {"stable": True, "dim": -1, "descending": True}),
    Sample("aten.sort.stable", (cube,), {"stable": None, "dim": 0}),
    Sample("aten.argsort.default", (x,)),
    Sample("aten.argsort.default", (cube, 1, True)),
    Sample("aten.argsort.stable", (ties,), {"stable": True}),
    Sample("aten.msort.default", (x,)),
]

SELECT = [
    Sample("aten.topk.default", (x, 2)),
    Sample("aten.topk.default", (x, 1)),
    Sample("aten.topk.default", (x, 1, 0, False)),
    Sample("aten.topk.default", (x, 5, -1, False)),
    Sample("aten.topk.default", (cube, 2, 1)),
    Sample("aten.topk.default", (cube, 0, 1)),
    Sample("aten.topk.default", (scalar, 1)),
    Sample("aten.topk.default", (torch.tensor([1.0, nan, inf, -inf]), 1)),
    Sample("aten.topk.default", (torch.tensor([-inf, -3.0, nan, 5.0]), 3)),
    Sample("aten.topk.default", (torch.tensor([[-inf], [-inf]]), 1)),
    Sample("aten.topk.default", (torch.tensor([nan, -3.0, inf, 5.0]), 1, 0, False)),
    Sample("aten.topk.default", (torch.tensor([3, 200, 7], dtype=torch.uint8), 1)),
    Sample("aten.topk.default", (torch.tensor([-(2**63), -(2**63) + 1]), 1)),
    *(Sample("aten.topk.default", (x.to(dtype), 2)) for dtype in DTYPES),
    Sample("aten.kthvalue.default", (x, 2)),
    Sample("aten.kthvalue.default", (cube, 3, 1, True)),
    Sample("aten.kthvalue.default", (torch.tensor([nan, 1.0, inf, -1.0]), 4)),
    Sample("aten.kthvalue.default", (scalar, 1)),
    Sample("aten.median.default", (x,)),
    Sample("aten.median.default", (ties,)),
    Sample("aten.median.default", (cube,)),
    Sample("aten.median.default", (scalar,)),
    Sample("aten.median.dim", (x, 1)),
    Sample("aten.median.dim", (x, 0, True)),
    Sample("aten.median.dim", (ties, 1)),
    Sample("aten.median.dim", (cube, 0)),
    Sample("aten.median.dim", (x.to(torch.bfloat16), 1)),
    Sample("aten.median.dim", (scalar, 0)),
    Sample("aten.nanmedian.default", (ties,)),
    Sample("aten.nanmedian.default", (torch.tensor([nan, nan]),)),
    Sample("aten.nanmedian.default", (cube,)),
    Sample("aten.nanmedian.dim", (torch.tensor([[nan, 3.0, 1.0, 2.0], [nan, nan, nan, 0.5]]), 1)),
    Sample("aten.nanmedian.dim", (x, 0, True)),
]

edges = torch.tensor([-1.0, 0.0, 0.0, 2.5, 7.0])
wanted = torch.tensor([[0.0, -5.0, 2.5], [nan, 7.0, 99.0]])
rows = torch.tensor([[1, 3, 5, 7], [2, 2, 2, 9]])

SEARCH = [
    Sample("aten.searchsorted.Tensor", (edges, wanted)),
    Sample("aten.searchsorted.Tensor", (edges, wanted), {"right": True}),
    Sample("aten.searchsorted.Tensor", (edges, wanted), {"side": "right", "out_int32": True}),
    Sample("aten.searchsorted.Tensor", (rows, torch.tensor([[3, 8], [2, 0]]))),
    Sample("aten.searchsorted.Tensor", (edges.flip(0), wanted), {"sorter": torch.tensor([4, 3, 2, 1, 0])}),
    Sample("aten.searchsorted.Tensor", (torch.tensor([1.0, nan, nan]), wanted)),
    Sample("aten.searchsorted.Tensor", (torch.tensor([1.0, 2.0, nan]), wanted), {"right": True}),
    Sample("aten.searchsorted.Tensor", (torch.empty(0), wanted)),
    Sample("aten.searchsorted.Tensor", (edges, torch.tensor(1.0))),
    *(Sample("aten.searchsorted.Tensor", (edges.to(d), wanted[0].to(d))) for d in DTYPES),
    Sample("aten.searchsorted.Scalar", (edges, 0.5)),
    Sample("aten.searchsorted.Scalar", (rows[0], 5), {"right": True}),
    Sample("aten.bucketize.Tensor", (wanted, edges)),
    Sample("aten.bucketize.Tensor", (wanted, edges), {"right": True, "out_int32": True}),
    Sample("aten.bucketize.Tensor", (torch.tensor([[3, 8], [2, 0]]), rows[0])),
    Sample("aten.bucketize.Scalar", (0.5, edges)),
]

MODE = [
    Sample("aten.mode.default", arguments)
    for arguments in (
        (rows,),
        (rows, 0, True),
        (torch.tensor([[3, 1, 2, 1, 3], [5, 4, 5, 4, 0], [2, 2, 1, 1, 1]], dtype=torch.uint8), -1),
        (torch.tensor([[True, False, True], [False, True, False]]), 1, True),
        (torch.arange(48).reshape(3, 16) % 7 - 3, 1),
        (torch.tensor(5),),
        # NaNs are neither less nor more: eager leaves what they keep apart in runs of its own.
        *((modal.to(dtype), 1) for dtype in FLOATS),
        (modal.T.contiguous(), 0, True),
    )
]

SAMPLES = [*SORT, *SELECT, *MODE, *SEARCH]
