"""JAX functions as rules: types, nested calls and loops, static arguments, locations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lowering.ir.types import DType
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.inline_jax import inline_jax
from lowering.stablehlo.value import Value, constant

pytestmark = pytest.mark.usefixtures("module")


def values(*dtypes: DType) -> list[Value]:
    return [constant(2, dtype, (3,)) for dtype in dtypes]


def test_one_result_or_several() -> None:
    (x,) = values(DType.FLOAT32)
    one = inline_jax(jnp.sin, [x], {})
    assert (one.dtype, one.shape) == (DType.FLOAT32, (3,))
    both = inline_jax(lambda a: (a + 1, a[0]), [x], {})
    assert [(value.dtype, value.shape) for value in both] == [(DType.FLOAT32, (3,)), (DType.FLOAT32, ())]
    assert len(inline_jax(lambda a: [a], [x], {})) == 1


@pytest.mark.parametrize("dtype", [DType.INT64, DType.FLOAT64, DType.COMPLEX128, DType.UINT64])
def test_64_bits_stay(dtype: DType) -> None:
    assert inline_jax(lambda a: a * 3, values(dtype), {}).dtype is dtype


def test_an_operand_that_is_not_used_is_no_harm() -> None:
    x, y = values(DType.FLOAT32, DType.INT32)
    assert inline_jax(lambda a, b: a, [x, y], {}).ir == x.ir


def _scaled(a: Any, by: Any) -> Any:
    return a * by


def test_equal_static_arguments_of_other_types_are_other_calls() -> None:
    (x,) = values(DType.INT64)
    found = [inline_jax(_scaled, [x], {"by": by}).dtype for by in (1, 1.0, True, 1 + 0j)]
    assert found == [DType.INT64, DType.FLOAT64, DType.INT64, DType.COMPLEX128]


def test_static_arguments_may_be_lists() -> None:
    (x,) = values(DType.FLOAT32)
    assert inline_jax(lambda a, shape: a.reshape(shape), [x], {"shape": [3, 1]}).shape == (3, 1)


def test_calls_inside_loops_and_branches_are_inlined(module: ir.Module) -> None:
    @jax.jit
    def inner(a: Any) -> Any:
        return jnp.where(a > 0, a, -a) + jax.jit(jnp.sort)(a)

    def outer(a: Any) -> Any:
        a = jax.lax.fori_loop(0, 3, lambda i, b: inner(b), inner(a))
        return jax.lax.cond(a[0] > 0, inner, lambda b: b, a)

    inline_jax(outer, values(DType.FLOAT32), {})
    text = str(module)
    assert "call" not in text
    assert {op.operation.name for op in module.body.operations} & {"stablehlo.while", "stablehlo.case"}
    assert not any(isinstance(op, func.FuncOp) for op in module.body.operations)


def test_every_operation_has_the_location_of_the_node(module: ir.Module) -> None:
    """Regions included; never the lines of the text that JAX's module passed through."""
    x = values(DType.FLOAT32)
    with hlo.location("node", (("model.py", 7, "forward", ""),)) as place:
        inline_jax(lambda a: jnp.sort(jnp.sin(a)), x, {})
    found: list[ir.Location] = []

    def note(op: ir.Operation) -> ir.WalkResult:
        found.append(op.location)
        return ir.WalkResult.ADVANCE

    for op in list(module.body.operations)[1:]:
        op.operation.walk(note)
    inlined = [location for location in found if location != ir.Location.unknown()]
    assert len(inlined) > 3
    assert set(map(str, inlined)) == {str(place)}


def test_the_same_text_twice() -> None:
    texts = []
    for _ in range(2):
        other = ir.Module.create()
        with ir.InsertionPoint(other.body):
            inline_jax(lambda a: jnp.cumsum(a), values(DType.FLOAT32), {})
        texts.append(str(other))
    assert texts[0] == texts[1]
