"""The pipeline of a module as it is emitted, before an engine's own passes."""

from __future__ import annotations

from functools import partial

from lowering.ir.module import Module
from lowering.passes.pipeline import Pass, Pipeline
from lowering.stablehlo import hlo
from lowering.stablehlo.donation import donate


def emitted(donations: tuple[tuple[str, str], ...] = ()) -> Pipeline[Module]:
    """`donations`: names of the inputs that a call may overwrite, with the outputs that take their place; see
    `lowering.ir.updates`."""
    donating = Pass(
        "donate-buffers",
        partial(donate, pairs=donations),
        "Let calls overwrite buffers whose old value nothing reads any more, after the module's checks.",
    )
    return Pipeline("emitted", "StableHLO module as emitted", (donating,), verify, text)


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
