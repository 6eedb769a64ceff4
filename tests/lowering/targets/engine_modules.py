"""Hand-written StableHLO for the tests of the engines, as portable bytecode with its ports."""

from __future__ import annotations

from functools import cache

from lowering.ir.module import Module, Port
from lowering.ir.types import DType
from lowering.stablehlo.hlo import element_type, make_context

with make_context():
    ELEMENTS = {dtype: str(element_type(dtype)) for dtype in DType if element_type(dtype) is not None}


@cache
def portable(text: str) -> bytes:
    """Portable bytecode of StableHLO text."""
    from jax.extend.mlir import ir, serialize_portable_artifact
    from jax.interpreters.mlir import make_ir_context

    with make_ir_context():
        return serialize_portable_artifact(ir.Module.parse(text), "1.8.0")


def tensor(port: Port) -> str:
    return f"tensor<{''.join(f'{size}x' for size in port.sizes)}{ELEMENTS[port.dtype]}>"


def module(body: str, inputs: tuple[Port, ...], outputs: tuple[Port, ...], name: str = "main") -> Module:
    """A module whose arguments are `%<port>` and whose results are `%<port>`, too; `body` is between them."""
    arguments = ", ".join(f"%{port.name}: {tensor(port)}" for port in inputs)
    results = ", ".join(tensor(port) for port in outputs)
    values = ", ".join(f"%{port.name}" for port in outputs)
    text = (
        f"module @{name} {{ func.func public @main({arguments}) -> ({results}) {{\n"
        f"{body}\nreturn {values} : {results}\n}} }}"
    )
    return Module(portable(text), inputs, outputs, name)


def add_one(dtype: DType = DType.FLOAT32, sizes: tuple[int, ...] = (4,)) -> Module:
    x, y = Port("x", dtype, sizes), Port("y", dtype, sizes)
    t, one = tensor(x), "1" if dtype.is_integer else "1.0"
    return module(
        f"%c = stablehlo.constant dense<{one}> : {t}\n%y = stablehlo.add %x, %c : {t}", (x,), (y,), "add_one"
    )


def linear(name: str = "layer.weight", size: int = 8) -> Module:
    """y = x @ w with the weight `name`, both size x size."""
    sizes = (size, size)
    x = Port("x", DType.FLOAT32, sizes)
    w = Port("w", DType.FLOAT32, sizes, name)
    y = Port("y", DType.FLOAT32, sizes)
    t = tensor(x)
    return module(
        f"%y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0] : ({t}, {t}) -> {t}", (x, w), (y,)
    )


def swap(dtype: DType, sizes: tuple[int, ...]) -> Module:
    """p, q -> select(true, q, p), p: a module that really computes, for every element type."""
    p, q = Port("p", dtype, sizes), Port("q", dtype, sizes)
    r, s = Port("r", dtype, sizes), Port("s", dtype, sizes)
    flag = Port("flag", DType.BOOL, sizes)
    t, b = tensor(p), tensor(flag)
    body = f"%r = stablehlo.select %flag, %q, %p : {b}, {t}\n%s = stablehlo.select %flag, %p, %q : {b}, {t}"
    return module(body, (p, q, flag), (r, s), "swap")
