"""Assertions about the data: a check of the module, which raises what eager raises."""

from __future__ import annotations

from lowering.ir.module import CheckKind
from lowering.stablehlo.context import Context
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import lowers
from lowering.stablehlo.value import Value


def _assert_true(cx: Context, value: Value, message: str) -> None:
    if value.size != 1:
        raise Unsupported("the truth of a tensor that has not one element")
    cx.fail_if(cx.reshape(value, ()) == 0, message, CheckKind.ASSERTION)


@lowers("aten._assert_async.default")
def assert_async(cx: Context, self: Value) -> None:
    _assert_true(cx, self, "Expected Tensor with single nonzero value, but got zero")


@lowers("aten._assert_async.msg")
def assert_async_with_message(cx: Context, self: Value, assert_msg: str) -> None:
    _assert_true(cx, self, assert_msg)


@lowers("aten._functional_assert_async.msg")
def functional_assert_async(cx: Context, self: Value, assert_msg: str, dep_token: Value) -> Value:
    """The token only orders assertions, which here all hold or none counts."""
    _assert_true(cx, self, assert_msg)
    return dep_token


@lowers("aten._make_dep_token.default")
def make_dep_token(cx: Context) -> Value:
    return cx.constant(0, cx.out.dtype, cx.out.shape)
