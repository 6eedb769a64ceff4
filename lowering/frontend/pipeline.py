"""The passes on torch's exported program, before torch serialises it."""

from __future__ import annotations

from functools import partial

from lowering.frontend.exported import exported_pipeline
from lowering.passes.pipeline import listed

_pass = partial(listed, "lowering.frontend")

EXPORT = exported_pipeline(
    "export",
    _pass("weight_subclasses:UNWRAP_WEIGHT_SUBCLASSES"),
    _pass("flex_attention:EXPAND_FLEX_ATTENTION"),
)
