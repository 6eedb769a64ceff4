"""The record of a compiled program's calls: segments, reasons, fallbacks, copies, cache use."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lowering.ir.plan import Placement, Plan
from lowering.ir.short_repr import ShortRepr
from lowering.targets import HOST_NAME


@dataclass(frozen=True, slots=True)
class Fallback:
    """A StableHLO segment that ran on the host because the engine refused it, at the sizes it refused.

    `node`: the one that the engine's diagnostic names, if it names one.
    """

    segment: int
    sizes: Mapping[str, int | float | bool]
    reason: str
    node: str | None = None


# A program may be called at any number of sizes that its engine refuses.
MAX_FALLBACKS = 256


class Tier(Enum):
    """The ways to run a segment whose sizes are known only at the call."""

    #: Its executable for these sizes.
    STATIC = "static"
    #: Its binary for all sizes.
    DYNAMIC = "dynamic"
    #: The host.
    HOST = HOST_NAME


@dataclass(slots=True, repr=False)
class Report(ShortRepr):
    """Counters are since construction. `fallbacks`: the first 256 of different segments and sizes.

    `copies`: tensors copied into an engine (not dense, or not aligned to 64 bytes) or out of its memory.
    `hits`, `misses`, `evictions`: of the cache of segments specialised to sizes. `postponed`: how often a
    segment ran on the host, since the data gave new sizes or too many. `deferred`: how often it ran there,
    or on its binary for all sizes, since its own were not compiled. `tiers`: how often segments with
    dynamic sizes ran on each. `padded`: how many runs on an executable for sizes were at smaller ones.
    `padding`: by segment and symbol, the sizes that others are padded to. `no_dynamic`: by segment, why it
    has no such binary. `no_compiler`: by segment, what lacks to compile for new sizes; its binary for all
    sizes serves for good. `unchecked_guards`: guards that name something else than the inputs.
    """

    plan: Plan
    engine: str
    calls: int = 0
    copies: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    postponed: int = 0
    deferred: int = 0
    tiers: dict[str, int] = field(default_factory=lambda: {tier.value: 0 for tier in Tier})
    padded: int = 0
    padding: dict[int, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    fallbacks: list[Fallback] = field(default_factory=list)
    no_dynamic: dict[int, str] = field(default_factory=dict)
    no_compiler: dict[int, str] = field(default_factory=dict)
    unchecked_guards: tuple[str, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def serve(self, tier: Tier, padded: bool = False) -> None:
        """Count one run of a segment. `padded`: at smaller sizes than those of the executable."""
        with self._lock:
            self.tiers[tier.value] += 1
            self.padded += padded

    def fall_back(self, fallback: Fallback) -> None:
        """Note a fallback, once for each segment and sizes."""
        if len(self.fallbacks) < MAX_FALLBACKS and fallback not in self.fallbacks:
            self.fallbacks.append(fallback)

    def nodes(self, placement: Placement) -> int:
        """How many nodes the plan places there."""
        return sum(len(s.nodes) for s in self.plan.segments if s.placement is placement)

    @property
    def cache(self) -> dict[str, int]:
        """The counters of the cache of segments specialised to sizes."""
        names = ("hits", "misses", "evictions", "postponed", "deferred")
        return {name: getattr(self, name) for name in names}

    def json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "engine": self.engine,
            "segments": [
                {"index": s.index, "placement": s.placement.value, "nodes": len(s.nodes)}
                for s in self.plan.segments
            ],
            "nodes": {p.value: self.nodes(p) for p in Placement},
            "reasons": dict(self.plan.reasons),
            "fallbacks": [
                {"segment": f.segment, "sizes": dict(f.sizes), "reason": f.reason} for f in self.fallbacks
            ],
            "calls": self.calls,
            "copies": self.copies,
            "cache": self.cache,
            "tiers": dict(self.tiers),
            "padded": self.padded,
            "padding": {
                str(segment): {name: list(sizes) for name, sizes in symbols.items()}
                for segment, symbols in self.padding.items()
            },
            "no_dynamic": dict(self.no_dynamic),
            "no_compiler": dict(self.no_compiler),
            "unchecked_guards": list(self.unchecked_guards),
        }
