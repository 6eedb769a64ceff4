"""`bridge.verify`: run a program on engines and on eager, and compare everything a caller can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bridge.api import load, lower
from bridge.artifact import is_artifact
from bridge.dispatch import check_engine
from bridge.errors import BridgeError, UsageError
from bridge.given_weights import require_weights, with_weights
from bridge.lowered import Lowered
from bridge.methods import LoweredMethods
from bridge.progress import part
from bridge.registration import bring_operators, check_operators
from bridge.sizes import sizes_by_symbol
from bridge.sources import exported_from, import_all
from bridge.verification.draw import example_call
from bridge.verification.edges import KINDS, edge_calls
from bridge.verification.methods import verify_in_turn
from bridge.verification.range_sizes import range_sizes
from bridge.verification.reference import eager
from bridge.verification.report import EngineReport, VerificationReport
from bridge.verification.tolerances import Given
from bridge.verification.trial import Call, Reference, run_engine, run_reference
from lowering.targets import ENGINES

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource


def verify(
    source: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    engines: Iterable[str] = tuple(ENGINES),
    device: str = "cpu",
    seed: int = 0,
    calls: int = 1,
    edges: bool = False,
    dynamic_shapes: Any = None,
    imports: Iterable[str] = (),
    trust: bool = False,
    weights: WeightSource | None = None,
    cast_weights: bool = False,
    against: torch.nn.Module | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    sizes: Iterable[Mapping[str, int]] = (),
) -> VerificationReport:
    """Compare engines with eager: outputs, inputs and buffers after the call, their dtypes, sizes and values.

    `source`: a `.pt2` file, an artifact, a `Lowered`, an ExportedProgram, or a module (exported with `args`).
    Of methods (a dict of programs, `LoweredMethods`, an artifact of several) each is compared by itself, then
    all in turn over the state that they share.
    Eager is torch's own `ep.module()` for the last two. For a file it is the program as read, interpreted on
    ATen. Without `args`, inputs are drawn from `seed`, within ranges and index bounds. Each side is given
    copies, of numpy arrays too; torch's generator starts at `seed` for both. `calls`: how many calls of each
    engine are compared, bit for bit, with the first that was given the same. A program that keeps state is
    called up to 16 times in a row, each call compared with eager. The row is repeated from the same start.
    Every other row is given other numbers. `edges`: compare one more call per kind of edge value, each from
    the same start. A kind on which eager itself fails is left out, and said so. `trust`: see `bridge.load`.
    Without `args`, a program with dynamic sizes is compared at the ends of its ranges and between them, too.
    `sizes`: further ones, by symbol or by input and axis (`{"tokens.1": 64}`).
    `weights`, `cast_weights`: others than the source's, see `Lowered.compile`. `against`: a module to compare
    with in place of the program; it is called as it is. `rtol`, `atol`: a tolerance in place of the table's;
    where one of them is given, the other is 0.

    An engine that fails is a failed row, not an exception. Raises BridgeError where the source or the inputs
    cannot be used, or eager itself fails. The module's buffers and the inputs are left as they were.
    """
    import_all(imports)
    engines = [engines] if isinstance(engines, str) else list(engines)
    if not engines or calls < 1:
        raise UsageError("there is nothing to verify without an engine and a call")
    for engine in engines:
        check_engine(engine, device)
    name = _name(source)
    if isinstance(source, torch.nn.Module):
        source = exported_from(source, args, kwargs, dynamic_shapes)
    elif dynamic_shapes is not None:
        raise UsageError(f"{name}: dynamic_shapes are for a module, which is exported with them")
    given = None if rtol is None and atol is None else Given(rtol or 0.0, atol or 0.0)
    how = _Comparison(engines, device, seed, calls, edges, given)
    lowered = _lowered(source, trust)
    if isinstance(lowered, LoweredMethods):
        if any(x is not None for x in (args, kwargs, weights, against)) or sizes:
            raise UsageError(f"{name} has several methods: give arguments, sizes and weights to one of them")
        return _of_methods(name, lowered, how)
    if weights is not None:
        lowered = with_weights(lowered, weights, cast=cast_weights)
    side = against if against is not None else source if weights is None else None
    call = _checked_call(lowered, args, kwargs, seed)
    rows, left_out = how.rows(side, lowered, call, args is None and kwargs is None, sizes)
    return VerificationReport(name, _reference(side), tuple(rows), left_out, given)


def _of_methods(name: str, methods: LoweredMethods, how: _Comparison) -> VerificationReport:
    """Each method by itself, then all in turn over the state that they share."""
    rows: list[EngineReport] = []
    left_out: dict[str, str] = {}
    for method, lowered in methods.items():
        with part(f"the method {method}"):
            found, refused = how.rows(None, lowered, _checked_call(lowered, None, None, how.seed), True, ())
        rows += [replace(row, engine=f"{row.engine}: {method}") for row in found]
        left_out |= {f"{method}, {kind}": reason for kind, reason in refused.items()}
    rows += verify_in_turn(methods, how.engines, how.device, how.seed, how.given)
    return VerificationReport(name, _reference(None), tuple(rows), left_out, how.given)


def _checked_call(
    lowered: Lowered, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, seed: int
) -> Call:
    """The call of a program that can be run: with its weights, and with operators that are known."""
    require_weights(lowered)
    bring_operators(lowered.program)
    check_operators(lowered.program)
    return example_call(lowered, args, kwargs, seed)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How engines are compared with eager; see `verify`."""

    engines: Sequence[str]
    device: str
    seed: int
    calls: int
    edges: bool
    given: Given | None

    def rows(
        self, side: Any, lowered: Lowered, call: Call, drawn: bool, sizes: Iterable[Mapping[str, int]]
    ) -> tuple[list[EngineReport], dict[str, str]]:
        """A row for each engine; the edge values and the sizes that are left out, and why.

        `side`: what eager is. `drawn`: whether nobody gave arguments.
        """
        with part("eager"), eager(side, lowered) as callee:
            expected = run_reference(callee, call, self.calls, self.seed)
        further: dict[str, tuple[Call, Reference]] = {}
        left_out: dict[str, str] = {}
        if self.edges:
            further, left_out = _edges(side, lowered, call, self.device, self.seed)
        on_sizes, refused = _sizes(side, lowered, drawn, sizes, self.seed)
        further, left_out = {**further, **on_sizes}, {**left_out, **refused}
        rows: list[EngineReport] = []
        for engine in self.engines:
            with part(engine):
                row = run_engine(
                    lowered, engine, self.device, call, expected, self.calls, self.seed, further, self.given
                )
            rows.append(row)
        return rows, left_out


def _edges(
    source: Any, lowered: Lowered, call: Call, device: str, seed: int
) -> tuple[dict[str, tuple[Call, Reference]], dict[str, str]]:
    """Per kind of edge value the call and what eager shows; per kind that is left out, why."""
    calls = edge_calls(lowered, call, device, seed)
    left_out = {kind: "no input can hold such values" for kind in KINDS if kind not in calls}
    shown: dict[str, tuple[Call, Reference]] = {}
    for kind, edge_call in calls.items():
        with eager(source, lowered) as callee:
            try:
                shown[kind] = edge_call, run_reference(callee, edge_call, 1, seed)
            except BridgeError as error:
                left_out[kind] = str(error)
    return shown, left_out


def _sizes(
    source: Any, lowered: Lowered, drawn: bool, added: Iterable[Mapping[str, int]], seed: int
) -> tuple[dict[str, tuple[Call, Reference]], dict[str, str]]:
    """By other sizes the call and what eager shows; by those that are left out, why."""
    program = lowered.program
    asked = [sizes_by_symbol(program, sizes) for sizes in added]
    found = range_sizes(program, asked) if drawn else {f"sizes {at}": sizes for at, sizes in enumerate(asked)}
    left_out: dict[str, str] = {}
    shown: dict[str, tuple[Call, Reference]] = {}
    for label, sizes in found.items():
        with eager(source, lowered) as callee:
            try:
                call = example_call(lowered, seed=seed, sizes=sizes)
                shown[label] = call, run_reference(callee, call, 1, seed)
            except BridgeError as error:
                left_out[label] = str(error)
    return shown, left_out


def _lowered(source: Any, trust: bool) -> Lowered | LoweredMethods:
    if isinstance(source, Lowered | LoweredMethods):
        return source
    if isinstance(source, str | PathLike) and is_artifact(Path(source)):
        return load(source, trust)
    return lower(source)


def _reference(side: Any) -> str:
    if isinstance(side, torch.nn.Module):
        return f"the module {type(side).__name__}"
    torchs = isinstance(side, torch.export.ExportedProgram)
    return "ExportedProgram.module()" if torchs else "the program as read, on ATen"


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str | PathLike) else type(source).__name__
