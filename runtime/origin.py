"""The lowered program that a compiled one comes from: it names sizes, and keeps binaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lowering.ir.plan import Segment
from lowering.ir.symbols import Scalar
from lowering.ir.weights import Weights
from lowering.targets.target import BuiltDynamic

if TYPE_CHECKING:
    from runtime.adapters import BoundAdapter
    from runtime.executor import Compiled

Sizes = Mapping[str, Scalar]


class WeightOrigin(Protocol):
    """The lowered program, as the owner of weights."""

    def read_weights(self, source: Any, cast: bool) -> Weights:
        """The program's weights, with those of a source in their places.

        Raises WeightsRefused for what does not fit, BridgeError for a source that cannot be read.
        """
        ...

    def keep_weights(self, weights: Weights) -> None:
        """These are the program's weights from now on."""
        ...


class Origin(WeightOrigin, Protocol):
    """The lowered program that a `Compiled` was made from."""

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

    def adapter(self, source: Any, scale: float | None, config: Any) -> BoundAdapter:
        """An adapter for this program. Raises BridgeError for one that cannot be read or does not fit."""
        ...

    def with_adapters(self, form: Any, beside: Compiled) -> Compiled:
        """Compile the program that takes adapters of a form, over the weights and state of another."""
        ...

    def symbols(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Sizes by symbol, of sizes by symbol or by input and axis. Raises UsageError."""
        ...

    def save(self, sizes: Iterable[tuple[int, Sizes]], path: str | PathLike[str] | None) -> Path:
        """Write an artifact that has the binaries of these segments and sizes, and return its path."""
        ...
