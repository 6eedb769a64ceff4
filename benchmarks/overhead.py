"""What a call costs beside the computation: our executables against each engine's own bare call.

    python -m benchmarks.overhead

Modules that compute next to nothing, with one argument and with 300 weights. Minimum of several runs, in
microseconds per call; `ours` includes waiting for the result, and `in/out` the import and export of torch
tensors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jax.extend.mlir import ir, serialize_portable_artifact
from jax.interpreters.mlir import make_ir_context

from lowering.ir.types import DType
from runtime.engine import Module, Port, Target
from runtime.engines import get_engine

_ROUNDS, _CALLS = 300, 100
_T = "tensor<16xf32>"


def add(weights: int) -> Module:
    """y = x + x, or x plus the first of `weights` weights of 16 numbers."""
    ports = [Port(f"w{i}", DType.FLOAT32, (16,), f"layer.{i}") for i in range(weights)]
    inputs = (Port("x", DType.FLOAT32, (16,)), *ports)
    arguments = ", ".join(f"%{port.name}: {_T}" for port in inputs)
    other = "%w0" if weights else "%x"
    text = f"""func.func public @main({arguments}) -> {_T} {{
        %y = stablehlo.add %x, {other} : {_T}
        return %y : {_T} }}"""
    with make_ir_context():
        code = serialize_portable_artifact(ir.Module.parse(text), "1.8.0")
    return Module(code, inputs, (Port("y", DType.FLOAT32, (16,)),))


def microseconds(*calls: Callable[[], Any]) -> list[float]:
    """The best time of each, the calls taking turns: short turns find a quiet moment on a busy machine."""
    best = [float("inf")] * len(calls)
    for _ in range(_ROUNDS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(_CALLS):
                call()
            best[index] = min(best[index], time.perf_counter() - start)
    return [seconds / _CALLS * 1e6 for seconds in best]


def bare(executable: Any, handle: Any) -> Callable[[], Any]:
    """The engine's own call on prebuilt arguments, without waiting or looking at the results."""
    if hasattr(executable, "_loaded"):
        arguments = [handle.array if a is None else a for a in executable._arguments]
        return lambda: executable._loaded.execute(arguments)
    from iree.runtime import VmVariantList

    arguments = VmVariantList(1)
    arguments.push_ref(handle.view)
    return lambda: executable._context.invoke(executable._main, arguments, VmVariantList(1))


def main() -> None:
    x = torch.ones(16)
    print(f"{'engine':24}{'weights':>8}{'bare':>8}{'ours':>8}{'in/out':>8}")
    for name, options in (("iree", {}), ("iree", {"driver": "local-task"}), ("xla", {})):
        engine, target = get_engine(name), Target(options=options)
        for count in (0, 300):
            module = add(count)
            weights = {f"layer.{i}": np.ones(16, np.float32) for i in range(count)}
            run = engine.load(engine.compile(module, target), module, target, weights)
            handle = engine.from_tensor(x, target)
            numbers = microseconds(
                bare(run, handle),
                lambda run=run, handle=handle: run([handle]),
                lambda run=run, engine=engine, target=target: engine.to_torch(
                    run([engine.from_tensor(x, target)])[0]
                ),
            )
            label = " ".join((name, *options.values()))
            print(f"{label:24}{count:8}" + "".join(f"{number:8.1f}" for number in numbers))


if __name__ == "__main__":
    main()
