"""Samples of `lowering/stablehlo/ops/counting.py`."""

from __future__ import annotations

import torch

from tests.ops.data import BOOL, F16, F32, F64, I32, I64, NAN, U8, bools, floats, integers, special
from tests.ops.driver import Sample

IN = "aten.isin.Tensor_Tensor"
REPEAT = "aten.repeat_interleave.self_Tensor"
TIMES = torch.tensor([2, 0, 3, 1])
SPARSE = torch.tensor([[0.0, NAN, -0.0], [2.0, 0.0, -1.0]])

SAMPLES = [
    Sample(IN, (floats(3, 4).round(), torch.tensor([1.0, -2.0, 0.0]))),
    *(Sample(IN, (integers(3, 4, dtype=t), integers(5, dtype=t))) for t in (I64, I32, U8)),
    # As many wanted elements as are searched for, not compared.
    Sample(IN, (integers(30, low=-40, high=40), integers(5, 8, low=-40, high=40))),
    Sample(IN, (special(), special().repeat(3)), name="isin-special-many"),
    Sample(IN, (special(), special()), name="isin-special-few"),
    Sample(IN, (integers(6), floats(5).round())),
    Sample(IN, (integers(6), integers(5, dtype=U8)), {"invert": True}),
    Sample(IN, (integers(6, dtype=I32), integers(40, dtype=U8))),
    Sample(IN, (floats(6).half(), torch.tensor(0.1))),
    Sample(IN, (torch.tensor(3), integers(5))),
    Sample(IN, (floats(2, 3), floats(0))),
    Sample(IN, (floats(0, 3), floats(4))),
    Sample(IN, (floats(5), floats(4)), {"assume_unique": True}),
    Sample("aten.isin.Tensor_Scalar", (integers(3, 4), 2)),
    Sample("aten.isin.Tensor_Scalar", (torch.tensor([0.1, 0.2], dtype=F16), 0.1)),
    Sample("aten.isin.Tensor_Scalar", (integers(3, 4), 2), {"invert": True}),
    Sample("aten.isin.Scalar_Tensor", (2, integers(3, 4))),
    Sample("aten.isin.Scalar_Tensor", (0.1, torch.tensor([0.1, 0.2], dtype=F16))),
    *(Sample("aten.histc.default", (floats(200, dtype=t), 10)) for t in (F32, F64)),
    *(Sample("aten.histc.default", (floats(200, dtype=t), 7, -2, 1)) for t in (F32, F64)),
    Sample("aten.histc.default", (torch.arange(0, 3.01, 0.1), 30, 0, 3)),
    Sample("aten.histc.default", (torch.tensor([[1.0, 2.0], [3.0, 2.0]]), 2, 1, 3)),
    Sample("aten.histc.default", (torch.ones(4), 3)),
    Sample("aten.histc.default", (torch.ones(4), 3, 1, 1)),
    Sample("aten.histc.default", (special(), 4, -2, 2), name="histc-special"),
    Sample("aten.histc.default", (floats(0), 3)),
    Sample("aten.histc.default", (torch.tensor(2.0),)),
    Sample("aten.nonzero_static.default", (SPARSE,), {"size": 5}),
    Sample("aten.nonzero_static.default", (SPARSE,), {"size": 2, "fill_value": 7}),
    *(
        Sample("aten.nonzero_static.default", (integers(3, 4, 2).to(t),), {"size": 9})
        for t in (I64, U8, BOOL)
    ),
    Sample("aten.nonzero_static.default", (bools(300),), {"size": 200}),
    Sample("aten.nonzero_static.default", (torch.tensor(3.0),), {"size": 2}),
    Sample("aten.nonzero_static.default", (SPARSE,), {"size": 0}),
    Sample("aten.nonzero_static.default", (floats(0, 2),), {"size": 2}),
    *(Sample("aten.repeat_interleave.Tensor", (TIMES.to(t),), {"output_size": 6}) for t in (I64, I32)),
    Sample("aten.repeat_interleave.Tensor", (torch.zeros(3, dtype=I64),), {"output_size": 0}),
    Sample(REPEAT, (floats(4, 3), TIMES, 0), {"output_size": 6}),
    Sample(REPEAT, (floats(3, 4), TIMES, -1), {"output_size": 6}),
    Sample(REPEAT, (bools(2, 2), TIMES.to(I32)), {"output_size": 6}),
    Sample(REPEAT, (floats(4, 3), torch.tensor([2]), 0), {"output_size": 8}),
    Sample(REPEAT, (floats(4, 3), torch.tensor(2), 1), {"output_size": 6}),
    Sample(REPEAT, (torch.tensor(1.5), torch.tensor([3])), {"output_size": 3}),
    Sample(REPEAT, (floats(4, 0), TIMES, 0), {"output_size": 6}),
]
