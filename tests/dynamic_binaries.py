"""Operators on binaries for all sizes: `python -m tests.dynamic_binaries`.

Each sample whose rules emit one module for all sizes (`tests.symbolic`) becomes one binary of IREE. It is
called at other sizes, the ends of the ranges among them, and compared with eager.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import Any

import numpy as np
import torch

from lowering.ir.errors import EngineError
from lowering.ir.program import Program
from lowering.targets import get_engine
from lowering.targets.target import CPU, CompilesDynamic
from tests.ops.driver import Sample, build_program
from tests.symbolic import UNCHECKED, Outcome, choices, emitted, one_line, resized

# At how many sizes a binary is called.
_MOST = 4
# An engine adds halves in an order of its own.
_TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 5e-2}


def attempt(sample: Sample, engine: Any) -> Outcome:
    """Compile a sample's module for all sizes and call it.

    Kinds: equal, refused, differs, and those of `emitted`.
    """
    assert isinstance(engine, CompilesDynamic)
    found = emitted(sample)
    if isinstance(found, Outcome):
        return found
    program, example, _, outputs, module = found
    try:
        binary = engine.compile_dynamic(module, CPU)
    except EngineError as error:
        return Outcome(sample, "refused", str(error))
    loaded = engine.load_dynamic(binary, module, CPU, {})
    tried = 0
    for sizes in choices(example, program.ranges):
        smaller = any(size < example[name] for name, size in sizes.items())
        if not module.admits(sizes) or (smaller and sample.target.startswith(UNCHECKED)):
            continue
        call = _call(sample, program, sizes)
        if call is None or [port.at(sizes).sizes for port in module.outputs[: len(outputs)]] != call[1]:
            continue
        inputs, _, expected = call
        made = loaded.at(sizes)([engine.from_tensor(tensor, CPU) for tensor in inputs])
        if len(made) > len(expected) and np.any(engine.to_numpy(made[-1])):
            return Outcome(sample, "differs", f"at {dict(sizes)}: a check fails, and eager gives results")
        for got, want in zip(made, expected, strict=False):
            problem = _difference(engine.to_torch(got), want)
            if problem:
                return Outcome(sample, "differs", f"at {dict(sizes)}: {problem}")
        tried += 1
        if tried == _MOST:
            break
    return Outcome(sample, "equal", tried=tried)


def _call(
    sample: Sample, program: Program, sizes: Any
) -> tuple[list[torch.Tensor], list[Any], list[Any]] | None:
    """Inputs of these sizes, the shapes of eager's results, and these; None where eager refuses."""
    other = resized(sample, program, sizes)
    try:
        _, inputs, expected = build_program(other) if other is not None else (None, [], [])
    except Exception:
        return None
    return [tensor.detach().contiguous() for tensor in inputs], [tuple(t.shape) for t in expected], expected


def _difference(got: torch.Tensor, want: torch.Tensor) -> str:
    want = want.detach().resolve_conj().resolve_neg().contiguous()
    tolerance = _TOLERANCE.get(want.dtype, 1e-3)
    try:
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)
    except AssertionError as error:
        return str(error)
    return ""


def main() -> int:
    """Try samples, the first of each operator; exit status 1 if any differs."""
    from tests.ops.test_ops import FIRST_OF_EACH

    parser = argparse.ArgumentParser(prog="python -m tests.dynamic_binaries", description=main.__doc__)
    parser.add_argument("--only", default="", help="operators whose name has this in it")
    given = parser.parse_args()
    engine, counts = get_engine("iree"), Counter[str]()
    for sample in (sample for sample in FIRST_OF_EACH if given.only in sample.target):
        outcome = attempt(sample, engine)
        counts[outcome.kind] += 1
        print(f"{outcome.kind:12} {sample} {one_line(outcome.detail)}", flush=True)
    print(dict(counts))
    return int(bool(counts["differs"] or counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
