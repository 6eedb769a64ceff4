"""What a pass makes of a segment written by hand, as text.

`EXPECTTEST_ACCEPT=1 python -m pytest tests/lowering/targets/aten` writes the expected texts anew; read the
diff.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lowering.ir.program import Node
from lowering.ir.types import TensorType
from lowering.passes.pipeline import Observation, Pipeline, observed
from lowering.targets.aten.pipeline import pipeline
from lowering.targets.aten.program import AtenProgram, show, verify
from tests.runtime.fakes import program


def segment(
    nodes: Sequence[Node],
    types: Mapping[str, TensorType],
    outputs: Sequence[str],
    constants: Mapping[str, torch.Tensor] | None = None,
    updates: Mapping[str, str] | None = None,
) -> AtenProgram:
    """A segment that is given all values with a type that it does not make."""
    constants = constants or {}
    made = {name for item in nodes for name in item.results()}
    graph = program({}, nodes, [], types).graph
    inputs = frozenset(types.keys() - made - constants.keys())
    return AtenProgram(graph, tuple(nodes), inputs, constants, tuple(outputs), updates or {})


def rewritten(name: str, given: AtenProgram) -> str:
    """The segment before and after the pass of this name; both are verified."""
    verify(given)
    whole = pipeline(packed=True)
    (item,) = [item for item in whole.passes if item.name == name]
    alone = Pipeline(
        "alone", whole.subject, (item,), whole.verify, whole.show, whole.properties, item.requires
    )
    with observed(Observation(verify=True)):
        made = alone.run(given)
    return f"{show(given)}\n=>\n{show(made)}\n"
