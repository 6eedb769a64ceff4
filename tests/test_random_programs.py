"""Random programs, cut at random, do what eager does: results, inputs, buffers, over calls and sizes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

import bridge
from bridge.compilation import compile_configured
from bridge.configuration import Configuration
from lowering.ir.plan import Placement
from lowering.passes import partition as partitioning
from lowering.passes.partition import partition
from lowering.targets.errors import ExecutionError
from runtime.inputs import InputError
from tests.random_programs import OPS, SIZES, Program, decode, inputs

_LINE = st.tuples(st.integers(0, len(OPS) - 1), *[st.integers(0, 15)] * 3, st.integers(0, 839))
_DRAWN = st.tuples(
    st.lists(_LINE, min_size=5, max_size=12),
    st.lists(st.integers(0, 15), max_size=3),
    st.booleans(),
    st.integers(0, 2**40),
    st.sampled_from([1, 1, 1, 3]),
    # IREE's compiler takes half a second a segment: few have one there.
    st.sampled_from([*["xla"] * 11, *["aten"] * 4, "both"]),
)
_OPTIONS: Any = {"deadline": None, "derandomize": True, "database": None}


@settings(max_examples=60, **_OPTIONS)
@given(_DRAWN)
def test_random_programs(drawn: Any) -> None:
    check(*drawn)


@pytest.mark.conformance
@settings(max_examples=2000, **_OPTIONS)
@given(_DRAWN)
def test_many_random_programs(drawn: Any) -> None:
    check(*drawn)


@pytest.mark.conformance
@settings(max_examples=1000, **_OPTIONS)
@given(_DRAWN)
def test_many_random_programs_of_all_sizes(drawn: Any) -> None:
    """Sizes are symbolic, and nothing is on ATen that need not be."""
    lines, outputs, *_ = drawn
    check(lines, outputs, True, 0, 1, "xla")


def check(lines: list[Any], outputs: list[int], dynamic: bool, cut: int, least: int, engine: str) -> None:
    """Export, cut where the bits of `cut` say, and compare a call per size with eager's.

    On `both` engines, every other segment is on IREE.
    """
    sizes = SIZES if dynamic else SIZES[:1] * 2
    module = decode(lines, outputs, sizes)
    shapes = {name: {0: torch.export.Dim.AUTO} for name in "xyk"} if dynamic else None
    exported = export(module, inputs(sizes[0], 0), shapes)
    if exported is None:
        event("not exportable")
        return
    whole = bridge.lower(exported)
    names = [node.name for node in whole.functional.graph.nodes]
    moved = {node: "drawn" for place, node in enumerate(names) if cut >> place % 40 & 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitioning, "MIN_NODES", least)
        plan = partition(whole.functional, {**whole.plan.reasons, **moved})
    lowered = replace(whole, plan=plan, modules={})
    if engine == "both":
        segments = [s for s in plan.segments if s.placement is Placement.STABLEHLO]
        compiled = compile_configured(
            lowered, Configuration("xla", {s.nodes[0]: "iree" for s in segments[cut & 1 :: 2]})
        )
    else:
        compiled = lowered.compile(engine, on_new_size="wait")
    eager = copy.deepcopy(module)
    for call, rows in enumerate(sizes):
        try:
            got = observe(compiled, lambda: compiled.buffers, rows, call)
        except ExecutionError as error:
            # The branch not taken in the example gives another size, which the exporter ruled out.
            if "the program takes" not in str(error):
                raise
            with pytest.raises((RuntimeError, AssertionError)):
                exported.module()(*inputs(rows, 10 + call))
            event("the exporter's guards exclude a branch")
            return
        if got is None:
            event("the exporter's guards exclude a size")
            assert call, "the example itself is refused"
            continue
        want = observe(eager, lambda: dict(eager.named_buffers()), rows, call)
        assert want is not None
        # A buffer that is never written is not held.
        kept = {name: value for name, value in want[2].items() if name in got[2]}
        torch.testing.assert_close(got, (*want[:2], kept), equal_nan=True, msg=_told(call, module))
    event(f"segments: {len(plan.segments)}")


def export(module: Program, args: Any, shapes: Any) -> Any:
    """None where torch cannot: what it refuses is for torch to judge."""
    try:
        with torch.no_grad():
            return torch.export.export(copy.deepcopy(module), args, dynamic_shapes=shapes, strict=False)
    except Exception:
        return None


def observe(callee: Callable[..., Any], buffers: Callable[[], Any], rows: int, call: int) -> Any:
    """What came back, the inputs after the call, the buffers after it; None if the size is refused."""
    args = inputs(rows, 10 + call)
    try:
        with torch.no_grad():
            result = callee(*args)
    except InputError:
        return None
    held = {name: torch.as_tensor(value) for name, value in buffers().items()}
    return copy.deepcopy((result, args, held))


def _told(call: int, module: Program) -> Callable[[str], str]:
    lines = "\n".join(f"{OPS[number % len(OPS)].name} {rest}" for number, *rest in module.lines)
    return lambda text: f"call {call}: {text}\n{lines}\noutputs {module.outputs}"


def test_the_drawn_programs_are_worth_running() -> None:
    """Most lines stay, every operator occurs, most programs can be exported."""
    seen: Counter[str] = Counter()
    kept, total = 0, 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        bounds = (len(OPS), 16, 16, 16, 840)
        lines = [
            tuple(int(torch.randint(0, bound, (), generator=generator)) for bound in bounds) for _ in range(8)
        ]
        module = decode(lines, [0], SIZES[:1] * 2)
        kept, total = kept + len(module.lines), total + len(lines)
        seen.update(OPS[line[0]].name for line in module.lines)
    assert kept > 0.6 * total
    assert {found.name for found in OPS} == seen.keys()
