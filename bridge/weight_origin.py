"""The weights of a compiled program, as its owner gives it others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from bridge.given_weights import replaced_weights
from bridge.planned import Planned
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    from bridge.given_weights import WeightSource


class Owner(Protocol):
    """Has the lowered program that a compiled one comes from."""

    lowered: Planned


class OwnedWeights:
    """See `bridge.compiled.origin.WeightOrigin`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def read_weights(self, source: WeightSource, cast: bool) -> Weights:
        return replaced_weights(self._owner.lowered, source, cast=cast)

    def keep_weights(self, weights: Weights) -> None:
        # Modules and binaries stay. The artifact that it was read from has other weights.
        self._owner.lowered = replace(self._owner.lowered, weights=weights, artifact=None)
