"""What a pass makes of a program written by hand, as text.

`EXPECTTEST_ACCEPT=1 python -m pytest tests/lowering/passes` writes the expected texts anew; read the diff.
"""

from __future__ import annotations

from lowering.ir.program import Program
from lowering.ir.validate import validate
from lowering.passes.pipeline import Observation, Pass, observed
from lowering.passes.program import program_pipeline


def rewritten(item: Pass[Program], given: Program) -> str:
    """The program before and after; both are verified, with all that the pass ensures."""
    validate(given)
    pipeline = program_pipeline("alone", item, given=item.requires)
    with observed(Observation(verify=True)):
        made = pipeline.run(given)
    return f"{given}=>\n{made}"
