"""Dtypes that the exporter notes otherwise than eager gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline
from torch.nn import functional as F

from lowering.ir.program import Node
from lowering.ir.types import DType, contiguous
from lowering.passes.correct_dtypes import CORRECT_DTYPES
from lowering.passes.errors import NotFunctional
from lowering.passes.pipelines import canonical
from tests.lowering.graphs import node, program
from tests.lowering.passes.eager import Body, check, exported, inputs
from tests.lowering.passes.rewritten import rewritten

F32 = torch.float32
HALF = torch.bfloat16

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    **{
        f"{name} {reduction}": lambda x, y, name=name, reduction=reduction: getattr(F, name)(
            x, y, reduction=reduction
        )
        for name in ("huber_loss", "soft_margin_loss", "mse_loss", "l1_loss", "smooth_l1_loss")
        for reduction in ("none", "mean", "sum")
    },
    "addr": lambda x, y: torch.addr(x, y[:, 0], y[0]),
    "layer norm": lambda x, y: torch.ops.aten.native_layer_norm(x, [4], y[0], y[1], 1e-5),
}


def test_the_kernels_dtype_takes_the_place_of_the_noted_one() -> None:
    half, full = contiguous(DType.BFLOAT16, (2, 3)), contiguous(DType.FLOAT32, (2, 3))
    types = {"x": half, "y": full, "out": full}
    nodes = [node("out", "aten.huber_loss.default", self="%x", target="%y", reduction=0)]
    found = rewritten(CORRECT_DTYPES, program(["x", "y"], nodes, ["%out"], types))
    assert_expected_inline(
        found,
        """\
main(
  %x: bf16[2, 3]  # user
  %y: f32[2, 3]  # user
) {
  %out: f32[2, 3] = aten.huber_loss.default(self=%x, target=%y, reduction=0)
  return (
    %out
  )
}
=>
main(
  %x: bf16[2, 3]  # user
  %y: f32[2, 3]  # user
) {
  %out: bf16[2, 3] = aten.huber_loss.default(self=%x, target=%y, reduction=0)
  return (
    %out
  )
}
""",
    )


@pytest.mark.parametrize("dtypes", [(HALF, F32), (F32, HALF), (F32, torch.float64)], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_results_have_eagers_dtype(name: str, dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        return CALLS[name](x, y)

    args = tuple(item.to(dtype) for item, dtype in zip(inputs(), dtypes, strict=True))
    try:
        expected = function(None, *args)
    except RuntimeError:
        pytest.skip("eager refuses these dtypes")
    functional = check(Body(function), args)
    results = expected if isinstance(expected, tuple) else (expected,)
    noted = [functional.graph.values[ref.name].dtype.value for ref in functional.graph.outputs]  # pyright: ignore
    assert noted == [str(result.dtype).removeprefix("torch.") for result in results]


@pytest.mark.parametrize("counted", [torch.uint8, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("single", [torch.float16, HALF], ids=str)
def test_a_power_that_is_a_single_half_multiplies_integers(counted: torch.dtype, single: torch.dtype) -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        return torch.ldexp(x, y)

    given = torch.arange(3).to(counted), torch.tensor(0.1, dtype=single)
    functional = check(Body(function), given)
    (made,) = functional.graph.outputs
    assert functional.graph.values[made.name].dtype.value == str(single).removeprefix("torch.")  # pyright: ignore


def test_what_is_made_of_a_wrong_dtype_runs_as_eager_does() -> None:
    def function(state: Any, x: Any, y: Any) -> Any:
        return F.huber_loss(x, y) * 2

    x, y = inputs()
    program, weights = exported(Body(function), (x.to(HALF), y))
    with pytest.raises(NotFunctional, match="gives bfloat16 where the exporter noted float32"):
        canonical(weights).run(program)


NORM = {"input": "%x", "normalized_shape": (3,), "weight": "%w", "bias": "%w", "eps": 1e-5}


@pytest.mark.parametrize(
    ("made", "types"),
    [
        # Neither is wider: what promotion gives.
        (
            node("out", "aten.addr.default", self="%x", vec1="%w", vec2="%w"),
            {"x": DType.BFLOAT16, "w": DType.FLOAT16, "out": DType.FLOAT32},
        ),
        # Statistics of anything but a half have its own dtype.
        (
            node("out", "aten.native_layer_norm.default", outputs=("out", "mean", "rstd"), **NORM),
            dict.fromkeys(("x", "out", "mean", "rstd"), DType.FLOAT64) | {"w": DType.FLOAT32},
        ),
    ],
    ids=["addr", "layer norm"],
)
def test_what_the_exporter_noted_rightly_stays(made: Node, types: dict[str, DType]) -> None:
    sizes = {name: contiguous(dtype, (3,) if name == "w" else (3, 3)) for name, dtype in types.items()}
    given = program(["x", "w"], [made], ["%out"], sizes)
    assert CORRECT_DTYPES.run(given) is given
