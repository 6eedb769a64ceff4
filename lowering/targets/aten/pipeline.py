"""The passes of a segment on ATen, in their order.

The first and the last two give the bits of eager. The others round otherwise: only measured placement asks
for them (`packed`).
"""

from __future__ import annotations

from lowering.passes.pipeline import Pass, Pipeline
from lowering.targets.aten.activations import hoist_activations, recognise_activations
from lowering.targets.aten.buffer_reuse import reuse_buffers
from lowering.targets.aten.constant_folding import fold_constants
from lowering.targets.aten.prepacking import prepack
from lowering.targets.aten.program import AtenProgram, show, verify
from lowering.targets.aten.recurrence import prepack_lstms
from lowering.targets.aten.reinplacing import check_reinplaced, reinplace

_Pass = Pass[AtenProgram]

_CONSTANT_FOLDING = _Pass(
    "constant-folding", fold_constants, "Compute results of weights and numbers alone once, at load time."
)
_FUSION = (
    _Pass("activation-recognition", recognise_activations, "Call activations that nodes spell out."),
    _Pass("activation-hoisting", hoist_activations, "Move activations before views."),
    _Pass("prepacking", prepack, "Fuse layers into calls of oneDNN, on weights in its layout."),
    _Pass("lstm-prepacking", prepack_lstms, "Unroll LSTMs into layers of oneDNN, on weights in its layout."),
)
_MEMORY = (
    _Pass(
        "reinplacing",
        reinplace,
        "Update a buffer in place where nothing reads its old value any more.",
        ensures=("reinplaced",),
    ),
    # A node that updates a buffer has its own rollback, and must not be taken for an elementwise one.
    _Pass(
        "buffer-reuse",
        reuse_buffers,
        "Overwrite tensors that nothing else reads.",
        requires=("reinplaced",),
    ),
)


def pipeline(packed: bool = False) -> Pipeline[AtenProgram]:
    """The passes of a segment. `packed`: layers run on oneDNN, see `lowering.targets.aten.prepacking`."""
    passes = (_CONSTANT_FOLDING, *(_FUSION if packed else ()), *_MEMORY)
    name = "aten-packed" if packed else "aten"
    return Pipeline(name, passes, verify, show, {"reinplaced": check_reinplaced})


def pipelines() -> tuple[Pipeline[AtenProgram], ...]:
    """All that this target has."""
    return pipeline(), pipeline(packed=True)
