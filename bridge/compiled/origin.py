"""The lowered program that a compiled one comes from: it names sizes, reads weights, and keeps binaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lowering.ir.weights import Weights
from runtime.origin import Origin, Sizes

if TYPE_CHECKING:
    from bridge.compiled.adapters import BoundAdapter
    from bridge.compiled.compiled import Compiled


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


class CompiledOrigin(Origin, WeightOrigin, Protocol):
    """The lowered program that a `Compiled` was made from."""

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
