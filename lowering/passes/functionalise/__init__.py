"""Functionalisation: in-place operators become values, and what they write becomes outputs of the program.

`functionalise(program, weights)` is a pass over the IR alone: it needs neither torch nor a run.
"""

from lowering.passes.functionalise.errors import NotFunctional
from lowering.passes.functionalise.program import functionalise

__all__ = ["NotFunctional", "functionalise"]
