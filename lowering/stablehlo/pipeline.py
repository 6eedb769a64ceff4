"""The pipelines of a module as it is emitted, and of one for all sizes, before an engine's own passes."""

from __future__ import annotations

from functools import partial

from lowering.ir.batch_axes import BatchAxes
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.module import Module
from lowering.ir.polynomials import normal
from lowering.ir.symbols import Apply, Symbol
from lowering.passes.pipeline import Pass, Pipeline
from lowering.stablehlo import hlo
from lowering.stablehlo.donation import donate
from lowering.stablehlo.rows.proof import PROVE_BATCH_AXES


def emitted(donations: tuple[tuple[str, str], ...] = ()) -> Pipeline[Module]:
    """`donations`: names of the inputs that a call may overwrite, with the outputs that take their place; see
    `lowering.ir.updates`."""
    donating = Pass(
        "donate-buffers",
        partial(donate, pairs=donations),
        "Let calls overwrite buffers whose old value nothing reads any more, after the module's checks.",
    )
    return Pipeline("emitted", "StableHLO module as emitted", (donating,), verify, text)


def for_all_sizes() -> Pipeline[DynamicModule]:
    """The pipeline of a module for all sizes that is to be padded."""
    name = "StableHLO module for all sizes"
    return Pipeline("for-all-sizes", name, (PROVE_BATCH_AXES,), verify_dynamic, dynamic_text)


def verify(module: Module) -> None:
    """Raise ValueError for a donation between other types, and for checks that do not come before it. Raise
    MLIRError for invalid code."""
    inputs, outputs = ({port.name: port for port in side} for side in (module.inputs, module.outputs))
    for given, made in module.donated:
        before, after = inputs[given], outputs[made]
        if (before.dtype, before.sizes) != (after.dtype, after.sizes):
            raise ValueError(f"{module.name} puts {made} in the place of {given}, which is of another type")
    if (module.preflight is not None) != bool(module.donated and module.checks):
        raise ValueError(f"{module.name} overwrites inputs before its checks, or checks without need")
    with hlo.make_context() as context:
        for part in filter(None, (module, module.preflight)):
            hlo.deserialize(part.code, context).operation.verify()


def text(module: Module) -> str:
    """MLIR text; the donations and the module of the checks come last."""
    shown = [hlo.text_of(module.code)]
    shown += [f"// {made} in the place of {given}" for given, made in module.donated]
    if module.preflight is not None:
        shown.append(f"// before a call overwrites its inputs\n{hlo.text_of(module.preflight.code)}")
    return "\n".join(shown)


def verify_dynamic(module: DynamicModule) -> None:
    """Raise ValueError for batch axes whose sizes are not those of their symbol.

    Raise MLIRError for invalid code.
    """
    for symbol, axes in module.batch_axes.items():
        if not isinstance(axes, BatchAxes):
            continue
        inputs, outputs = (
            {port.name: port.sizes for port in side} for side in (module.inputs, module.outputs)
        )
        places = [(inputs[name][axis], 1) for name, found in axes.inputs.items() for axis in found]
        places += [
            (outputs[name][axis], rows) for name, found in axes.outputs.items() for axis, rows in found
        ]
        for size, rows in places:
            if normal(size) != normal(Apply("Mul", (Symbol(symbol), rows))):
                raise ValueError(f"{module.name} has {size} elements along the batch axis of {symbol}")
    with hlo.make_context() as context:
        hlo.deserialize(module.code, context).operation.verify()


def dynamic_text(module: DynamicModule) -> str:
    """MLIR text; what is proved of its symbols comes last."""
    shown = [hlo.text_of(module.code)]
    shown += [f"// {symbol}: {axes}" for symbol, axes in sorted(module.batch_axes.items())]
    return "\n".join(shown)
