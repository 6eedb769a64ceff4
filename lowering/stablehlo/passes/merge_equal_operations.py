"""Let one of several equal operations stand for all of them.

A weight that many operations read, as an LSTM's steps do, is laid out once, not once for each. Dead
operations must be gone before: of a chain that nothing reads, MLIR's pass drops the end alone.
"""

from __future__ import annotations

from lowering.stablehlo import hlo
from lowering.stablehlo.passes.parsed import ParsedModule


def rewrite(parsed: ParsedModule) -> None:
    hlo.merge_equal(parsed.mlir)
