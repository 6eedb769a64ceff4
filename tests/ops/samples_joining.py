"""Calls of joins and splits."""

from __future__ import annotations

import torch

from tests.ops.driver import Sample
from tests.ops.samples_shape import DTYPES, ramp

x = ramp(4, 6, 5)
scalar = torch.tensor(2.5)

JOINS = [
    Sample("aten.cat.default", ([ramp(2, 3), ramp(1, 3)],)),
    Sample("aten.cat.default", ([ramp(2, 3), ramp(2, 1)], -1)),
    Sample("aten.cat.default", ([torch.empty(0), ramp(2, 3)], 1)),
    Sample("aten.cat.default", ([torch.empty(0), torch.empty(0)],)),
    Sample("aten.cat.default", ([ramp(2), ramp(2, dtype=torch.int64), ramp(1, dtype=torch.float64)],)),
    Sample("aten.cat.default", ([ramp(2, dtype=torch.bfloat16), ramp(2, dtype=torch.float16)],)),
    *(Sample("aten.cat.default", ([ramp(2, dtype=dtype), ramp(3, dtype=dtype)],)) for dtype in DTYPES),
    Sample("aten.concat.default", ([ramp(2, 3), ramp(1, 3)],)),
    Sample("aten.concatenate.default", ([ramp(2, 3), ramp(1, 3)],)),
    Sample("aten.stack.default", ([ramp(2, 3), ramp(2, 3)], -1)),
    Sample("aten.stack.default", ([scalar, scalar],)),
    Sample("aten.stack.default", ([ramp(2), ramp(2, dtype=torch.int32)],)),
    Sample("aten.hstack.default", ([ramp(2, 3), ramp(2, 1)],)),
    Sample("aten.hstack.default", ([ramp(2), scalar],)),
    Sample("aten.vstack.default", ([ramp(2, 3), ramp(3)],)),
    Sample("aten.row_stack.default", ([ramp(3), ramp(3)],)),
    Sample("aten.dstack.default", ([ramp(3), ramp(1, 3), ramp(1, 3, 2)],)),
    Sample("aten.column_stack.default", ([ramp(3), ramp(3, 2)],)),
    Sample("aten.column_stack.default", ([scalar, scalar],)),
    Sample("aten.block_diag.default", ([ramp(2, 3), ramp(2), scalar, ramp(1, 2, dtype=torch.int64)],)),
    Sample("aten.cartesian_prod.default", ([ramp(2), ramp(3)],)),
    Sample("aten.cartesian_prod.default", ([ramp(2)],)),
    Sample("aten.combinations.default", (ramp(4),)),
    Sample("aten.combinations.default", (ramp(4), 3, True)),
    Sample("aten.combinations.default", (ramp(2), 3)),
]

SPLITS = [
    Sample("aten.split.Tensor", (x, 4, 1)),
    Sample("aten.split.Tensor", (x, 3)),
    Sample("aten.split.Tensor", (ramp(4, dtype=torch.bool), 2)),
    Sample("aten.split.sizes", (x, [1, 0, 4], -1)),
    Sample("aten.split_copy.Tensor", (x, 2)),
    Sample("aten.split_with_sizes.default", (x, [1, 3])),
    Sample("aten.split_with_sizes_copy.default", (x, [2, 3], 2)),
    Sample("aten.unsafe_split.Tensor", (x, 2)),
    Sample("aten.unsafe_split_with_sizes.default", (x, [3, 1])),
    Sample("aten.chunk.default", (x, 4, 2)),
    Sample("aten.chunk.default", (x, 3)),
    Sample("aten.unsafe_chunk.default", (x, 2)),
    Sample("aten.tensor_split.sections", (x, 4, -1)),
    Sample("aten.tensor_split.indices", (x, [1, 3], 1)),
    Sample("aten.tensor_split.indices", (x, [3, 1, -1, 9], 1)),
    Sample("aten.hsplit.int", (x, 2)),
    Sample("aten.hsplit.int", (ramp(4), 2)),
    Sample("aten.hsplit.array", (x, [1, 2])),
    Sample("aten.vsplit.int", (x, 2)),
    Sample("aten.vsplit.array", (x, [1])),
    Sample("aten.dsplit.int", (x, 5)),
    Sample("aten.dsplit.array", (x, [2, 4])),
    Sample("aten.unbind.int", (ramp(2, 3), 1)),
    Sample("aten.unbind.int", (ramp(3),)),
    Sample("aten.unbind_copy.int", (ramp(2, 3),)),
]

SAMPLES = [*JOINS, *SPLITS]
