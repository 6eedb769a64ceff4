"""torch's exported program, as the passes that run before torch writes it down take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowering.passes.pipeline import Pass, Pipeline

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule


@dataclass(frozen=True, slots=True)
class Exported:
    """A program, and the graph that takes the place of its own. Both hold the same tensors."""

    program: ExportedProgram
    module: GraphModule


ExportedPass = Pass[Exported]


def exported_pipeline(name: str, *passes: ExportedPass) -> Pipeline[Exported]:
    """A pipeline that torch's own check of graphs verifies."""
    return Pipeline(
        name,
        "program of torch",
        passes,
        lambda given: given.module.graph.lint(),
        lambda given: str(given.module.graph),
    )
