"""Batch axes of operators: `python -m tests.batch_axes`.

Each sample of an operator becomes a program whose tensors have all sizes symbolic, as in `tests.symbolic`.
For each symbol that is proved to be a batch axis, its module is refined at some size and at a larger one. On
XLA, arguments whose last row is repeated must give the same results there, cut.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from lowering.ir.batch_axes import BatchAxes
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.symbols import evaluate
from lowering.stablehlo.errors import LoweringError
from lowering.stablehlo.refine import refined
from lowering.stablehlo.rows.proof import with_batch_axes
from lowering.targets import get_engine
from lowering.targets.target import Engine
from tests.ops.driver import Sample
from tests.symbolic import UNCHECKED, Emitted, Outcome, choices, emitted, is_close, resized, run

# By how many rows the batch grows.
_MORE = 3
# By how many roundings of the largest element results of different sizes may differ: sums have other orders.
_ROUNDINGS = 16


class Verdict(NamedTuple):
    """The finding on one symbol: `proved`, `mixed` or `differs`. `compared`: at how many sizes."""

    kind: str
    symbol: str
    detail: str = ""
    compared: int = 0


def verdicts(sample: Sample, engine: Engine | None) -> Iterator[Verdict]:
    """Of each symbol of a sample; without an engine nothing is compared."""
    found = emitted(sample)
    if isinstance(found, Outcome):
        return
    for symbol, axes in with_batch_axes(found.module).batch_axes.items():
        if not isinstance(axes, BatchAxes):
            yield Verdict("mixed", symbol, axes.reason)
            continue
        problem, compared = "", 0
        for sizes in choices(found.example, found.program.ranges) if engine is not None else ():
            assert engine is not None
            smaller = any(size < found.example[name] for name, size in sizes.items())
            other = resized(sample, found.program, sizes)
            if other is None or (smaller and sample.target.startswith(UNCHECKED)):
                continue
            larger = {**sizes, symbol: sizes[symbol] + _MORE}
            if found.module.admits(sizes) and found.module.admits(larger):
                problem = problem or _difference(found, axes, other, (sizes, larger), engine)
                compared += 1
        yield Verdict("differs" if problem else "proved", symbol, problem, compared)


def _difference(
    found: Emitted,
    axes: BatchAxes,
    sample: Sample,
    sizes: tuple[dict[str, int], dict[str, int]],
    engine: Engine,
) -> str:
    """How the results at a size differ from those at a larger one, cut; empty if they do not."""
    given = dict(zip(found.inputs, _tensors(sample), strict=True))
    more = {name: padded(tensor, axes.inputs.get(name, ()), _MORE) for name, tensor in given.items()}
    try:
        modules = [refined(found.module, at) for at in sizes]
    except LoweringError:
        return ""  # eager refuses a size: a table has fewer elements
    exact, large = (
        run(module, list(tensors.values()), engine)
        for module, tensors in zip(modules, (given, more), strict=True)
    )
    for port, want, got in zip(found.module.outputs, exact, large, strict=True):
        cut = cut_to(got, found.module, port.name, axes, sizes[0])
        if cut.shape != want.shape or not _close(cut, want):
            return f"{port.name} at {sizes[0]}"
    return ""


def _tensors(sample: Sample) -> list[torch.Tensor]:
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves((sample.args, sample.kwargs)) if isinstance(leaf, torch.Tensor)]


def padded(tensor: torch.Tensor, axes: tuple[int, ...], count: int) -> torch.Tensor:
    """A tensor whose last row along an axis comes so many times more."""
    for axis in axes:
        last = tensor.narrow(axis, tensor.shape[axis] - 1, 1)
        tensor = torch.cat([tensor, *[last] * count], axis)
    return tensor


def cut_to(
    value: np.ndarray, module: DynamicModule, name: str, axes: BatchAxes, sizes: Mapping[str, int]
) -> np.ndarray:
    """The rows of a result that are there at these sizes."""
    port = next(port for port in module.outputs if port.name == name)
    for axis, _ in axes.outputs.get(name, ()):
        size = port.sizes[axis]
        value = value.take(range(size if isinstance(size, int) else int(evaluate(size, sizes))), axis)
    return value


def _close(actual: np.ndarray, expected: np.ndarray) -> bool:
    if expected.dtype.kind not in "fcV" or expected.dtype.itemsize < 4:
        return bool(
            np.array_equal(actual.astype(expected.dtype), expected, equal_nan=expected.dtype.kind in "fc")
        )
    return is_close(actual, expected, _ROUNDINGS)


def main() -> int:
    """Try samples; exit status 1 if any result differs."""
    from tests.ops.test_ops import FIRST_OF_EACH, SAMPLES

    parser = argparse.ArgumentParser(prog="python -m tests.batch_axes", description=main.__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every sample; default: the first of each operator"
    )
    parser.add_argument("--only", default="", help="operators whose name has this in it")
    parser.add_argument("--shard", default="0/1", help="K/N: every Nth sample from K on")
    parser.add_argument("--prove", action="store_true", help="prove, and compare nothing")
    given = parser.parse_args()
    at, of = map(int, given.shard.split("/"))
    engine, counts, reasons = None if given.prove else get_engine("xla"), Counter[str](), Counter[str]()
    samples = SAMPLES if given.all else FIRST_OF_EACH
    for sample in [s for s in samples if given.only in s.target][at::of]:
        for verdict in verdicts(sample, engine):
            counts[verdict.kind] += 1
            counts["compared"] += verdict.compared
            reasons[verdict.detail] += verdict.kind == "mixed"
            print(
                f"{verdict.kind:8} {sample} {verdict.symbol} [{verdict.compared}] {verdict.detail}",
                flush=True,
            )
    print(dict(counts))
    return int(bool(counts["differs"]))


if __name__ == "__main__":
    sys.exit(main())
