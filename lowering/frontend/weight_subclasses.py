"""Weights of tensor subclasses, as the plain tensors that they are made of.

Quantised models have such weights: their arithmetic is otherwise hidden in the class.
"""

from __future__ import annotations

from lowering.frontend.errors import ExportError, root_cause
from lowering.frontend.exported import Exported, ExportedPass


def on_plain_weights(given: Exported) -> Exported:
    """The program on the tensors into which torch takes its weights apart. Raises ExportError."""
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    program = given.program
    named = {**program.state_dict, **program.constants}
    wrapped = [name for name, value in named.items() if is_traceable_wrapper_subclass(value)]
    if not wrapped:
        return given
    try:
        made = program.run_decompositions({})
    except Exception as problem:  # the subclass's own code runs, and may raise anything
        kind = type(named[wrapped[0]]).__name__
        raise ExportError(
            f"torch cannot take the weight {wrapped[0]!r}, a {kind}, apart into plain tensors: "
            f"{root_cause(problem)}"
        ) from problem
    return Exported(made, made.graph_module)


UNWRAP_WEIGHT_SUBCLASSES = ExportedPass(
    "unwrap-weight-subclasses",
    on_plain_weights,
    "Take weights of tensor subclasses apart into plain tensors.",
    required=True,
)
