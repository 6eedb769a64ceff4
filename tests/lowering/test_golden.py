"""What a change changes, in full: the IR, its functional form and the StableHLO of a few programs, as text.

`UPDATE_GOLDEN=1 python -m pytest tests/lowering/test_golden.py` writes the files anew; read the diff.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import bridge
from bridge.lowered import Lowered
from lowering.ir.plan import Placement

_TESTS = Path(__file__).parents[1]
_GOLDEN = _TESTS / "golden"
_PROGRAMS = _TESTS / "data" / "pt2" / "torch-2.13.0"
_NAMES = (
    "branch",
    "cached_attention",
    "convnet",
    "data_dependent",
    "half_scalars",
    "mlp_dynamic",
    "trained_norm",
    "view_mutation",
)


def _segments(lowered: Lowered) -> str:
    """The modules of a plan, one after the other; for an ATen segment its nodes and why they are there."""
    parts = []
    for segment in lowered.plan.segments:
        head = f"// segment {segment.index}: {segment.placement.value}\n"
        if segment.placement is Placement.STABLEHLO:
            parts.append(head + lowered.stablehlo(segment.index))
        else:
            reasons = lowered.plan.reasons
            parts.append(head + "".join(f"//   {name}: {reasons[name]}\n" for name in segment.nodes))
    return "\n".join(parts)


_VIEWS: dict[str, Callable[[Lowered], str]] = {
    "ir": lambda lowered: str(lowered.program).rstrip("\n") + "\n",
    "functional": lambda lowered: str(lowered.functional).rstrip("\n") + "\n",
    "mlir": _segments,
}


@pytest.mark.parametrize("view", _VIEWS)
@pytest.mark.parametrize("name", _NAMES)
def test_text_is_as_it_was(name: str, view: str) -> None:
    text = _VIEWS[view](bridge.lower(_PROGRAMS / f"{name}.pt2"))
    path = _GOLDEN / f"{name}.{view}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    if text != known:
        difference = difflib.unified_diff(known.splitlines(), text.splitlines(), "before", "now", lineterm="")
        pytest.fail("\n".join([f"{path.name} changed (UPDATE_GOLDEN=1 accepts it):", *difference]))


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in _GOLDEN.iterdir()} == {f"{n}.{v}.txt" for n in _NAMES for v in _VIEWS}
