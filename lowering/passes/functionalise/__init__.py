"""Functionalisation: in-place operators become values, and their writes become outputs of the program.

The pass works on the IR alone: it needs neither torch nor a run.
"""

from lowering.passes.functionalise.program import functionalise

__all__ = ["functionalise"]
