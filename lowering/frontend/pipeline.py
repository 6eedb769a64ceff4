"""The passes on torch's exported program: what torch has no written form for becomes what it has."""

from __future__ import annotations

from lowering.frontend.exported import exported_pipeline
from lowering.frontend.flex_attention import EXPAND_FLEX_ATTENTION
from lowering.frontend.weight_subclasses import UNWRAP_WEIGHT_SUBCLASSES

EXPORT = exported_pipeline("export", UNWRAP_WEIGHT_SUBCLASSES, EXPAND_FLEX_ATTENTION)
