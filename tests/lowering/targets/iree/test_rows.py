"""Products of one row of bfloat16 with a weight, in strips."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from lowering.host.processor import Processor
from lowering.ir.module import Port
from lowering.ir.types import DType
from lowering.targets.iree import compile as iree_compile
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.rows import rows_in_strips
from lowering.targets.target import CPU
from tests.lowering.targets.engine_modules import module, tensor


@pytest.mark.parametrize("columns", [1, 15, 16, 48, 64, 100, 160])
@pytest.mark.parametrize("rows", [1, 40])
def test_a_row_times_a_weight_of_any_width(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small integers: each product and sum is exact, in whatever order."""
    host = Processor("host", frozenset())
    monkeypatch.setattr(iree_compile, "processor", lambda: host)
    spelled: list[str] = []
    monkeypatch.setattr(
        iree_compile, "rows_in_strips", lambda text: spelled.append(rows_in_strips(text)) or spelled[-1]
    )
    x, w = Port("x", DType.BFLOAT16, (1, rows)), Port("w", DType.BFLOAT16, (columns, rows), "w")
    y = Port("y", DType.FLOAT32, (1, columns))
    program = module(
        "%y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [1] : "
        f"({tensor(x)}, {tensor(w)}) -> {tensor(y)}", (x, w), (y,)
    )  # fmt: skip
    generator = np.random.default_rng(0)
    given, weight = (
        generator.integers(-8, 9, port.sizes).astype(ml_dtypes.bfloat16) for port in (x, w)
    )  # fmt: skip
    engine = Iree()
    executable = engine.load(engine.compile(program, CPU), program, CPU, {"w": weight})
    (result,) = executable([engine.from_tensor(given, CPU)])
    wanted = given.astype(np.float32) @ weight.astype(np.float32).T
    np.testing.assert_array_equal(engine.to_numpy(result), wanted)
    assert ("linalg.pack" in spelled[0]) == (columns > 1 and rows > 1)


def test_other_lines_stay_as_they_are() -> None:
    operands = "ins(%a, %b : tensor<4xf32>, tensor<4x8xf32>) outs(%c : tensor<8xf32>)"
    text = f"    %4 = linalg.vecmat {operands} -> tensor<8xf32>\n"
    assert rows_in_strips(text) == text
