"""`Lowered`: a program with its plan and its StableHLO modules, ready to be saved or compiled."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import BridgeError
from bridge.given_weights import with_weights
from bridge.planned import Planned
from bridge.planning import planned
from lowering.ir.program import OutputKind, Program
from lowering.ir.weights import Weights
from lowering.targets import DEFAULT_ENGINE

if TYPE_CHECKING:
    from bridge.buckets import Buckets
    from bridge.compiled.compiled import Compiled
    from bridge.compiled.interpreted import Interpreted
    from bridge.given_weights import WeightSource
    from bridge.memory import CallMemory


class Lowered(Planned):
    """A lowered program, as `bridge.lower` returns it and `bridge.load` reads it back."""

    def save(self, path: str | PathLike[str], *, weights: str | None = None) -> Path:
        """Write the artifact folder at `path`, replacing an artifact that is there, all or nothing.

        `weights`: `copy` has them in the artifact; `reference` points into the file that they were read from,
        with its size and digest. By default an artifact stays as it is, and any other program is copied.

        Raises UsageError for weights that are not in a file, OperatorRefused for a call that no file may
        make, else as `bridge.artifact.save`.
        """
        from bridge.artifact import save
        from bridge.referenced_weights import saved_as

        if weights is not None:
            self.weights = saved_as(self.weights, weights)
        return save(self, Path(path))

    def compile(
        self,
        engine: str = DEFAULT_ENGINE,
        device: str | None = None,
        *,
        tune: float | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        weights: WeightSource | None = None,
        cast_weights: bool = False,
        on_new_size: str = "dynamic",
        sizes: Iterable[Mapping[str, int]] = (),
        buckets: Mapping[str, Sequence[int] | Buckets] | None = None,
    ) -> Compiled | Interpreted:
        """Compile every segment and load the weights.

        `engine`: a name of `lowering.targets.engines()`, `aten`, or `auto`: the fastest of many ways to use
        them, measured here and kept in `tuning`. `device`: `cpu`, `cuda`, or `cuda:1` for the second GPU; by
        default `self.device`. Nodes that the engine cannot compile run on ATen, with the engine's reason in
        the result's report.

        `weights`: others than the program's own, which are checked first: a state dict, a `.safetensors` or
        `.pt` file, a folder of these, an artifact or a `.pt2`. `cast_weights`: round them to the program's
        dtypes, if they have other floating-point ones.

        `on_new_size`: the way of a call whose sizes are not compiled yet, of a program with dynamic sizes.
        `dynamic`: it runs on the engine's binary for all sizes, which is compiled now and which `save` keeps,
        or on ATen where an engine or a segment has none; the sizes are compiled in the background. `aten`:
        the same without that binary. `wait`: it waits for the compiler, and calls at other sizes go on.
        `sizes`: those to compile for now, by symbol or by input and axis (`{"tokens.1": 64}`); `save` then
        keeps their binaries as it does those of the example's sizes. `buckets`: the sizes that calls at
        others are padded to, by symbol or by input and axis (`{"tokens.0": [1, 2, 4, 8]}`), where that is
        proved to be exact, or `bridge.Buckets` states it. `save` keeps them, and without this argument those
        are taken; they have no effect on ATen.

        For `auto` alone: `tune`: how many seconds the search may take, by default as long again as compiling
        takes. A started candidate is finished. With `tune`, an incomplete search goes on. `args`, `kwargs`:
        the call that is timed, by default one with drawn inputs of the example sizes.

        Raises UsageError for an unknown engine or way, a missing device, arguments that do not fit, or an
        axis that is not proved. Raises
        WeightsRefused for weights that do not fit, AbsentWeights for a program without weights.
        """
        from bridge.dispatch import compile_lowered

        given = self if weights is None else with_weights(self, weights, cast=cast_weights)
        compiled = compile_lowered(
            given, engine, device or self.device, tune, args, kwargs, on_new_size, sizes, buckets
        )
        self.tuning, self.buckets = given.tuning, given.buckets
        return compiled

    def memory(self, engine: str = "", device: str | None = None) -> CallMemory:
        """The memory that a call needs at the example sizes: arguments, results, weights, temporary values.

        `engine`: compiles what is not compiled yet, and tells. Without one it is a bound of the IR, and
        nothing is compiled. Raises UsageError, EngineError.
        """
        from bridge.memory import memory_of

        return memory_of(self, engine, device or self.device)


def lower_program(
    program: Program, weights: Weights, bounds_checks: bool = True, held: Collection[str] = ()
) -> Lowered:
    """Run the canonical pipeline, try every rule, partition, and emit the modules at the example sizes.

    `held`: full names of buffers that other methods write.

    Raises OperatorRefused for an operator that a file may not call on ATen, BridgeError for an unregistered
    operator.
    """
    from bridge.registration import bring_operators, check_allowed, check_operators
    from lowering.ir.custom_operators import schema_of
    from lowering.passes.errors import NotFunctional
    from lowering.passes.partition import all_on_aten
    from lowering.passes.pipelines import canonical

    _refuse_gradients(program)
    bring_operators(program)
    check_allowed(program)
    check_operators(program)
    try:
        functional = canonical(weights, schema_of, held).run(program)
    except NotFunctional as error:
        return Lowered(program, program, all_on_aten(program, str(error)), weights, str(error))
    return planned(Lowered, program, functional, weights, bounds_checks)


def _refuse_gradients(program: Program) -> None:
    gradients = (OutputKind.PARAMETER_GRADIENT, OutputKind.INPUT_GRADIENT)
    named = [str(spec.destination) for spec in program.signature.outputs if spec.kind in gradients]
    if named:
        raise BridgeError(
            f"the program is a forward and a backward in one: it returns the gradient of {named[0]}"
            f"{f' and of {len(named) - 1} more' if len(named) > 1 else ''}; export the forward alone"
        )
