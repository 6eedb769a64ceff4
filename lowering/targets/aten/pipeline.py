"""The passes of a segment on ATen, in their order.

The first and the last two give the bits of eager. The others round otherwise: only measured placement asks
for them (`packed`).
"""

from __future__ import annotations

from functools import partial

from lowering.passes.pipeline import Pipeline, listed
from lowering.targets.aten.program import AtenProgram, show, verify
from lowering.targets.aten.reinplacing import check_reinplaced

_pass = partial(listed, "lowering.targets.aten")

_FUSION = (
    "activations:ACTIVATION_RECOGNITION",
    "activations:ACTIVATION_HOISTING",
    "prepacking:PREPACKING",
    "recurrence:LSTM_PREPACKING",
)


def pipeline(packed: bool = False) -> Pipeline[AtenProgram]:
    """The passes of a segment. `packed`: layers run on oneDNN, see `lowering.targets.aten.prepacking`."""
    places = (
        "constant_folding:CONSTANT_FOLDING",
        *(_FUSION if packed else ()),
        "reinplacing:REINPLACING",
        # A node that updates a buffer has its own rollback, and must not be taken for an elementwise one.
        "buffer_reuse:BUFFER_REUSE",
    )
    name = "aten-packed" if packed else "aten"
    passes = tuple(map(_pass, places))
    return Pipeline(name, "segment", passes, verify, show, {"reinplaced": check_reinplaced})


def pipelines() -> tuple[Pipeline[AtenProgram], ...]:
    """All that this target has."""
    return pipeline(), pipeline(packed=True)
