"""Calls that read by index."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample
from tests.ops.samples_shape import DTYPES, ramp

x = ramp(3, 4, 5)
scalar = torch.tensor(2.5)
i = torch.tensor([0, -1, 1, 1])
j = torch.tensor([[2], [-3]])
mask = torch.tensor([True, False, True])

INDEX = [
    Sample("aten.index.Tensor", (x, [i])),
    Sample("aten.index.Tensor", (x, [None, i])),
    Sample("aten.index.Tensor", (x, [None, None, j])),
    Sample("aten.index.Tensor", (x, [i, j])),
    Sample("aten.index.Tensor", (x, [None, i, j])),
    Sample("aten.index.Tensor", (x, [i, None, j])),
    Sample("aten.index.Tensor", (x, [i, i, i])),
    Sample("aten.index.Tensor", (ramp(2, 3, 4, 5), [i % 2, None, j])),
    Sample("aten.index.Tensor", (x, [torch.tensor(1)])),
    Sample("aten.index.Tensor", (x, [torch.tensor(1), None, i])),
    Sample("aten.index.Tensor", (x, [torch.empty(0, dtype=torch.int64)])),
    Sample("aten.index.Tensor", (torch.empty(3, 0), [i])),
    Sample("aten.index.Tensor", (x, [i.int(), j])),
    *(Sample("aten.index.Tensor", (ramp(3, 2, dtype=dtype), [i])) for dtype in DTYPES),
    Sample("aten._unsafe_index.Tensor", (x, [None, i])),
    Sample(
        "aten._unsafe_masked_index.default",
        (ramp(3), mask, [torch.tensor([2, 9, 0])], 7.0),
    ),
]

ALONG = [
    Sample("aten.gather.default", (x, 1, torch.tensor([[[0, 3, 1, 2, 0]], [[1, 1, 0, 3, 2]]]))),
    Sample("aten.gather.default", (x, -1, torch.tensor([[[4]], [[0]], [[2]]]))),
    Sample("aten.gather.default", (x, 0, torch.empty(0, 4, 5, dtype=torch.int64))),
    Sample("aten.gather.default", (scalar, 0, torch.tensor([0, 0]))),
    Sample("aten.gather.default", (ramp(3), 0, torch.tensor(2))),
    *(
        Sample("aten.gather.default", (ramp(2, 3, dtype=d), 1, torch.tensor([[2, 0], [1, 1]])))
        for d in DTYPES
    ),
    Sample("aten.take_along_dim.default", (ramp(2, 3), torch.tensor([[2], [0]]), 1)),
    Sample("aten.take_along_dim.default", (ramp(2, 3), torch.tensor([[2, 0, 1]]), 1)),
    Sample("aten.take_along_dim.default", (ramp(2, 3), torch.tensor([[-1, 0, -3]]), 1)),
    Sample("aten.take_along_dim.default", (ramp(1, 3), torch.tensor([[2, 0], [1, 1]]), -1)),
    Sample("aten.take_along_dim.default", (ramp(2, 3), torch.tensor([5, 0]))),
    Sample("aten.take.default", (ramp(2, 3), torch.tensor([[-1, 0], [4, -6]]))),
    Sample("aten.take.default", (scalar, torch.tensor([0, -1]))),
    Sample("aten.take.default", (ramp(2, 3, dtype=torch.bool), torch.tensor(3))),
]

ROWS = [
    Sample("aten.index_select.default", (x, 1, torch.tensor([3, 0, 0]))),
    Sample("aten.index_select.default", (x, -1, torch.tensor([4], dtype=torch.int32))),
    Sample("aten.index_select.default", (x, 0, torch.tensor(2))),
    Sample("aten.index_select.default", (scalar, 0, torch.tensor([0]))),
    Sample("aten.index_select.default", (x, 0, torch.empty(0, dtype=torch.int64))),
    *(Sample("aten.index_select.default", (ramp(3, 2, dtype=d), 0, torch.tensor([2, 1]))) for d in DTYPES),
    Sample("aten.embedding.default", (ramp(7, 3), torch.tensor([[0, 6], [2, 2]]))),
    Sample("aten.embedding.default", (ramp(7, 3), torch.tensor([0, 1]), 1)),
    Sample("aten.embedding.default", (ramp(7, 3, dtype=torch.bfloat16), torch.tensor(5, dtype=torch.int32))),
    Sample("aten.embedding.default", (ramp(7, 3), torch.empty(2, 0, dtype=torch.int64))),
]

SAMPLES = [*INDEX, *ALONG, *ROWS]
