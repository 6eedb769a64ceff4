"""Operators on symbolic sizes: `python -m tests.symbolic`.

Each sample of an operator becomes a program whose tensors have all sizes symbolic, as the exporter makes
them. Its module for all sizes is refined at other sizes, the ends of the ranges among them. There it must
give, on XLA, the very bits of the module that is emitted for these sizes alone.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.utils._pytree import tree_map_only

from bridge.binaries import Site, after_passes
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module
from lowering.ir.program import Program, Range, Ref
from lowering.ir.symbol_parser import parse_srepr
from lowering.ir.symbols import evaluate, free_symbols, to_text
from lowering.ir.types import TensorType
from lowering.stablehlo.emit import emit_module
from lowering.stablehlo.emit_dynamic import emit_dynamic
from lowering.stablehlo.errors import RuleError, Unsupported
from lowering.stablehlo.refine import refined
from lowering.stablehlo.size_facts import OWN
from lowering.targets import get_engine
from lowering.targets.target import Engine, TargetOptions
from tests.ops.driver import Sample, build_program, eager, operator

#: By how much the sizes of a sample change, and to what: the ends of the ranges, then a larger one.
CHANGES = (lambda size: 1, lambda size: size + 1, lambda size: 2 * size + 3)


#: Eager writes where indices say that it should: in tensors that are smaller, outside of these.
UNCHECKED = ("aten._unsafe", "aten.adaptive_max_pool", "aten.max_pool", "aten.max_unpool")

# By how many roundings of the largest element the results of `ROUNDED` may differ.
_ROUNDINGS = 2

#: Compilers contract products and sums by the constants around them, or add up windows by their sizes: the
#: last bits of a result are the compiler's.
ROUNDED = (
    "aten._adaptive_avg_pool3d",
    "aten.adaptive_avg_pool3d",
    "aten.cumulative_trapezoid",
    "aten.upsample_bicubic2d",
    "transformers.grouped_mm_fallback",
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a sample.

    `kind`: equal, rounding (equal but for the last bits, of `ROUNDED`), guards, specialised, static, differs
    or failed.
    """

    sample: Sample
    kind: str
    detail: str = ""
    tried: int = 0


def symbolic_program(sample: Sample) -> tuple[Program, dict[str, int]] | None:
    """A sample's program with symbolic sizes, and the sample's own; None where its sizes do not vary."""
    program, _, _ = build_program(sample)
    shapes = ShapeEnv(specialize_zero_one=True, duck_shape=True)
    mode = FakeTensorMode(shape_env=shapes, allow_non_fake_inputs=True)
    made: list[Any] = []

    def fake(tensor: torch.Tensor) -> Any:
        context = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC] * tensor.dim())
        source = ConstantSource(f"x{len(made)}")
        made.append(mode.from_tensor(tensor.detach().contiguous(), symbolic_context=context, source=source))
        return made[-1]

    args, kwargs = tree_map_only(torch.Tensor, fake, (sample.args, sample.kwargs))
    with mode, torch.no_grad():
        results = eager(operator(sample.target), replace(sample, args=args, kwargs=kwargs))
    flat = [item for result in results if result is not None for item in
            ([result] if isinstance(result, torch.Tensor) else result)]  # fmt: skip
    types = dict(program.graph.values)
    for name, tensor in (
        *((f"x{i}", t) for i, t in enumerate(made)),
        *((f"y{i}", t) for i, t in enumerate(flat)),
    ):
        old = types[name]
        assert isinstance(old, TensorType)
        sizes = tuple(_term(size) for size in tensor.shape)
        strides = tuple(_term(stride) for stride in tensor.stride())
        types[name] = replace(old, sizes=sizes, strides=strides, offset=0)
    shown = [free_symbols(_term(size)) for tensor in made for size in tensor.shape]
    used = sorted(frozenset[str]().union(*shown))
    if not used:
        return None
    values = {str(symbol): int(value) for symbol, value in shapes.backed_var_to_val.items()}
    ranges = {
        str(symbol): Range(_bound(found.lower), _bound(found.upper))
        for symbol, found in shapes.var_to_range.items()
        if str(symbol) in used
    }
    graph = replace(program.graph, values=types)
    return replace(program, graph=graph, ranges=ranges), {name: values[name] for name in used}


def _bound(value: Any) -> int | None:
    if "oo" in str(value) or int(value) > 1 << 40:
        return None
    # The exporter takes sizes for 2 or more, and does not mean it.
    return int(value) if int(value) > 2 else None


def _term(size: Any) -> Any:
    if not isinstance(size, torch.SymInt):
        return int(size)
    import sympy

    return parse_srepr(sympy.srepr(size.node.expr))


class Emitted(NamedTuple):
    """A program with symbolic sizes, the sample's own, the names of arguments and results, and the module."""

    program: Program
    example: dict[str, int]
    inputs: list[str]
    outputs: list[str]
    module: DynamicModule


def emitted(sample: Sample) -> Emitted | Outcome:
    """A sample's module for all sizes, or the outcome of a sample that has none."""
    try:
        found = symbolic_program(sample)
    except Exception as error:
        return Outcome(sample, "static", f"torch: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    if found is None:
        return Outcome(sample, "static", "no size varies")
    program, example = found
    inputs, outputs = ([ref.name for ref in refs if isinstance(ref, Ref)] for refs in
                       (program.graph.inputs, program.graph.outputs))  # fmt: skip
    try:
        module = emit_dynamic(program, program.graph.nodes, inputs, outputs, example, "sample")
    except Unsupported as error:
        return Outcome(sample, "specialised", error.reason)
    except Exception as error:
        return Outcome(sample, "failed", f"{type(error).__name__}: {str(error)[-300:]}")
    return Emitted(program, example, inputs, outputs, module)


def attempt(sample: Sample, engine: Engine | None) -> Outcome:
    """Emit a sample's program for all sizes, refine it at others, and compare; without an engine, emit."""
    found = emitted(sample)
    if isinstance(found, Outcome):
        return found
    program, example, names_in, names_out, module = found
    guards = "; ".join(f"{to_text(g.condition)} ({g.site})" for g in module.guards if g.site != OWN)
    tried, rounding = 0, False
    if engine is None:
        return Outcome(sample, "guards" if guards else "equal", guards)
    for sizes in choices(example, program.ranges):
        smaller = any(size < example[name] for name, size in sizes.items())
        if not module.admits(sizes) or (smaller and sample.target.startswith(UNCHECKED)):
            continue
        other = resized(sample, program, sizes)
        if other is None:
            continue
        try:
            static_program, inputs, expected = build_program(other)
        except Exception:
            continue  # eager refuses these sizes
        outs = [port.at(sizes).sizes for port in module.outputs[: len(names_out)]]
        if outs != [tuple(t.shape) for t in expected]:
            continue
        try:
            static = emit_module(
                static_program, static_program.graph.nodes, names_in, names_out, {}, "sample"
            )
        except (Unsupported, RuleError):
            continue  # eager reads what is not there, or has no lowering
        try:
            own = refined(module, sizes)
            got, want = (run(each, inputs, engine) for each in (own, static))
        except Exception as error:
            return Outcome(sample, "failed", f"at {dict(sizes)}: {type(error).__name__}: {str(error)[-300:]}")
        # One of the two may need a check that the bounds of the other's values spare.
        count = len(names_out)
        for a, b in zip(got[:count], want[:count], strict=True):
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                rounded = sample.target.startswith(ROUNDED) and a.dtype.kind == "f"
                if not (rounded and is_close(a, b, _ROUNDINGS)):
                    return Outcome(sample, "differs", f"at {dict(sizes)}")
                rounding = True
        tried += 1
    return Outcome(sample, "guards" if guards else "rounding" if rounding else "equal", guards, tried)


def is_close(actual: np.ndarray, expected: np.ndarray, roundings: int) -> bool:
    """Whether floating-point results differ by so many roundings of the largest element at most."""
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    allowed = roundings * np.finfo(expected.dtype).eps * largest
    return np.allclose(actual, expected, rtol=0, atol=allowed, equal_nan=True)


def choices(example: Mapping[str, int], ranges: Mapping[str, Range]) -> Iterator[dict[str, int]]:
    """The example's sizes, and others: all changed together, then each alone."""
    yield dict(example)
    seen = [dict(example)]
    for change in CHANGES:
        together = {name: _within(change(size), ranges.get(name)) for name, size in example.items()}
        for sizes in (together, *({**example, name: together[name]} for name in example)):
            if sizes not in seen:
                seen.append(sizes)
                yield sizes


def _within(size: int, bounds: Range | None) -> int:
    if bounds is None:
        return size
    size = max(size, bounds.low or 0)
    return size if bounds.high is None else min(size, bounds.high)


def resized(sample: Sample, program: Program, sizes: Mapping[str, int]) -> Sample | None:
    """The sample's call with tensors of other sizes: its elements, repeated or cut."""
    place = iter(range(1 << 30))

    def resize(tensor: torch.Tensor) -> torch.Tensor:
        type_ = program.graph.values[f"x{next(place)}"]
        assert isinstance(type_, TensorType)
        for axis, size in enumerate(type_.sizes):
            wanted = int(evaluate(size, sizes))
            rows = torch.arange(wanted) % max(tensor.shape[axis], 1)
            tensor = torch.movedim(torch.movedim(tensor, axis, 0)[rows], 0, axis)
        return tensor.contiguous()

    try:
        args, kwargs = tree_map_only(torch.Tensor, resize, (sample.args, sample.kwargs))
    except (RuntimeError, IndexError, NotImplementedError):
        return None
    return replace(sample, args=args, kwargs=kwargs, name=str(sample))


def run(module: Module, inputs: Sequence[torch.Tensor], engine: Engine) -> list[np.ndarray]:
    """The results of a module, compiled and called on an engine."""
    target = TargetOptions()
    binary = engine.compile(after_passes(module, Site(engine, target)), target)
    executable = engine.load(binary, module, target, {})
    handles = [engine.from_tensor(tensor.detach().contiguous(), target) for tensor in inputs]
    return [np.array(engine.to_numpy(handle)) for handle in executable(handles)]


_PAGE = Path(__file__).parents[1] / "docs" / "operators-symbolic.md"


def report(outcomes: Sequence[Outcome]) -> str:
    """The page that says of which operators one module holds for all sizes."""
    vary = [outcome for outcome in outcomes if outcome.kind != "static"]
    held = [outcome for outcome in vary if outcome.kind != "equal"]
    equal = len(vary) - len(held)
    share = 100 * equal / len(vary)
    rows = [
        f"| `{outcome.sample.target}` | {outcome.kind} | {one_line(outcome.detail)} |" for outcome in held
    ]
    return (
        "# Operators on symbolic sizes\n\n"
        f"Of {len(outcomes)} overloads with a rule and a sample, torch lets the sizes of {len(vary)} vary. "
        f"The rules of {equal} of these, {share:.1f}%, give one module for all sizes, "
        "without a guard but the program's own. The others are below: their segment has a module for each "
        "size. `python -m tests.symbolic --report` writes this page; without it, each is compared, "
        "at other sizes, with the module of plain sizes, bit for bit. Compilers contract products and "
        f"sums, so that the last bits may differ of {', '.join(f'`{name}`' for name in ROUNDED)}.\n\n"
        "| overload | outcome | reason |\n|---|---|---|\n" + "\n".join(sorted(rows)) + "\n"
    )


def one_line(detail: str) -> str:
    """A reason as a table's cell, which does not change with the lines of a rule's file."""
    return re.sub(r"\.py:\d+", ".py", " ".join(detail.split()).replace("|", "\\|"))[:200]


def main() -> int:
    """Try samples; exit status 1 if any differs or fails."""
    from tests.ops.test_ops import FIRST_OF_EACH, SAMPLES

    parser = argparse.ArgumentParser(prog="python -m tests.symbolic", description=main.__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every sample; default: the first of each operator"
    )
    parser.add_argument("--only", default="", help="operators whose name has this in it")
    parser.add_argument("--family", default="", help="samples of tests/ops/samples_FAMILY.py, with commas")
    parser.add_argument("--shard", default="0/1", help="K/N: every Nth sample from K on")
    parser.add_argument("--emit", action="store_true", help="emit, and compare nothing")
    parser.add_argument("--report", action="store_true", help="emit, and write docs/operators-symbolic.md")
    parser.add_argument("--quiet", action="store_true", help="say nothing of what is equal")
    given = parser.parse_args()
    if given.report and (given.only or given.family or given.shard != "0/1"):
        parser.error("the page is of all operators: run --report without --only, --family and --shard")
    samples = SAMPLES if given.all else FIRST_OF_EACH
    if given.family:
        import importlib

        names = given.family.split(",")
        samples = [s for n in names for s in importlib.import_module(f"tests.ops.samples_{n}").SAMPLES]
    at, of = map(int, given.shard.split("/"))
    engine, counts = None if given.emit or given.report else get_engine("xla"), Counter[str]()
    outcomes: list[Outcome] = []
    for sample in [s for s in samples if given.only in s.target][at::of]:
        outcome = attempt(sample, engine)
        counts[outcome.kind] += 1
        outcomes.append(outcome)
        if not given.quiet or outcome.kind not in ("equal", "rounding", "static"):
            print(f"{outcome.kind:12} {sample} [{outcome.tried}] {outcome.detail}", flush=True)
    print(dict(counts))
    if given.report:
        _PAGE.write_text(report(outcomes))
    return int(bool(counts["differs"] or counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
