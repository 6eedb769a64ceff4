"""The lowered program that steps come from: it compiles them for sizes that calls bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lowering.ir.plan import Segment
from lowering.ir.symbols import Scalar
from lowering.targets.target import BuiltDynamic

Sizes = Mapping[str, Scalar]


class Origin(Protocol):
    """The lowered program, as its steps ask it."""

    @property
    def host_differs(self) -> bool:
        """Whether the host raises where an engine gives a result: for an index out of bounds, if asked to."""
        ...

    def dynamic(self, segment: Segment) -> BuiltDynamic:
        """The binary of a segment for all sizes. Raises EngineError."""
        ...

    def compile_aside(self, segment: Segment, sizes: Sizes) -> None:
        """Have another process compile a segment, so that it is loaded without a compiler.

        Raises EngineError.
        """
        ...

    def is_at_hand(self, segment: Segment, sizes: Sizes) -> bool:
        """Whether the binary for these sizes needs no compiler."""
        ...
