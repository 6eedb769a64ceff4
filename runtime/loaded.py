"""`Loaded`: the steps of a program over the weights that it has now, and the short way of its calls.

A call takes one of these when it begins, and keeps it. So it sees the weights of one moment only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from lowering.ir.plan import Segment
from lowering.ir.program import InputKind, Ref, Signature
from lowering.ir.types import TensorType
from lowering.targets import get_host
from lowering.targets.target import HostExecutable
from runtime.bound_weights import BoundWeights
from runtime.fast_call import FastCall
from runtime.frame import Shared
from runtime.inputs import Binder
from runtime.results import Contract, Results
from runtime.step import Step

Rebuild = Callable[[list[Any]], Any]
# The short way of calls, and whether they may still find it.
Short = tuple[FastCall | None, bool]
NO_SHORT: Short = (None, False)


class Loaded:
    """The steps of a program, loaded with its weights.

    `calls`: by step, its call, and the values that nothing reads after it. `fast`: the short way, if there is
    one. `learns`: whether calls may still find it.
    """

    def __init__(
        self,
        shared: Shared,
        weights: BoundWeights,
        steps: tuple[Step, ...],
        contract: Contract,
        binder: Binder,
        rebuild: Rebuild,
        signature: Signature,
    ) -> None:
        self.weights = weights
        self.steps = steps
        self._shared = shared
        self._contract = contract
        self._binder = binder
        self._rebuild = rebuild
        self._signature = signature
        self.results = Results(shared, weights.weights, contract, binder.leaves, partial(_on_host, steps))
        # Values that no call makes, or lets go of.
        lasting = shared.constants.keys() | {s.name for s in signature.inputs if s.kind is InputKind.ADAPTER}
        self.dead = _lifetimes([step.segment for step in steps], signature, lasting)
        self.calls = tuple(zip([step.call for step in steps], self.dead, strict=True))
        self.without_gradients = get_host().without_gradients if _on_host(steps) else nullcontext
        step = self._only_step()
        self.fast = self._fast_path({}) if step is not None and step.static else None
        self.learns = step is not None and bool(step.symbols)

    def with_weights(self, weights: BoundWeights) -> Loaded:
        """The same over these weights; steps that read none that changed stay. Raises EngineError.

        `settle` follows, once calls begin with it.
        """
        steps = tuple(step.anew(weights) if step.reads(weights.changed) else step for step in self.steps)
        return Loaded(
            self._shared, weights, steps, self._contract, self._binder, self._rebuild, self._signature
        )

    def settle(self) -> None:
        """Let go of older weights, and go on with what was being compiled."""
        for step in self.steps:
            if step.weights is self.weights:
                step.resume()
            else:
                # To such a step both are the same.
                step.weights = self.weights

    @property
    def on_host(self) -> list[HostExecutable]:
        """The segments that run on the host by now, fallbacks included."""
        return _on_host(self.steps)

    def set_short(self, short: Short) -> Short:
        """Take another short way, and whether it is learnt; return those before."""
        before = self.fast, self.learns
        self.fast, self.learns = short
        return before

    def learn(self, args: tuple[Any, ...], symbols: Mapping[str, Any]) -> None:
        """Remember that a call with these shapes is right, so that the next one takes the short way."""
        fast = self.fast
        if fast is None:
            self.fast = fast = self._fast_path(symbols)
            self.learns = fast is not None
        if fast is not None:
            fast.learn(tuple(given.shape for given in args), symbols)

    def _only_step(self) -> Step | None:
        """The step of a program that is one segment on an engine, has plain tensors and no effects."""
        contract = self._contract
        if contract.buffers or contract.input_writes or not self._binder.plain:
            return None
        return self.steps[0] if len(self.steps) == 1 and self.steps[0].on_engine else None

    def _fast_path(self, symbols: Mapping[str, Any]) -> FastCall | None:
        """The short way for such a program, once its segment is loaded for some sizes; else None."""
        contract, step = self._contract, self._only_step()
        loaded = step.peek(symbols) if step is not None else None
        if step is None or loaded is None:
            return None
        places = {leaf.spec.name: index for index, leaf in enumerate(self._binder.leaves)}
        names = [value.name if isinstance(value, Ref) else "" for value in contract.returned]
        tensors = all(isinstance(self._shared.graph.values.get(name), TensorType) for name in names)
        distinct = len(set(names)) == len(names) and set(names) <= set(loaded.outputs)
        if not tensors or not distinct or not all(port.name in places for port in loaded.inputs):
            return None
        order = tuple(places[port.name] for port in loaded.inputs)
        picked = tuple(loaded.outputs.index(name) for name in names)
        everything = picked == tuple(range(len(loaded.outputs)))
        picked = None if everything else picked
        return FastCall(step, loaded, order, picked, self._binder, self._shared.report, self._rebuild)


def _on_host(steps: Sequence[Step]) -> list[HostExecutable]:
    return [found for step in steps if (found := step.on_host_now) is not None]


def _lifetimes(
    segments: Sequence[Segment], signature: Signature, lasting: Collection[str]
) -> list[tuple[str, ...]]:
    """Of each segment the values that nothing reads after it."""
    needed = {spec.value.name for spec in signature.outputs if isinstance(spec.value, Ref)} | set(lasting)
    dead: list[tuple[str, ...]] = []
    for segment in reversed(segments):
        names = dict.fromkeys((*segment.inputs, *segment.outputs))
        dead.append(tuple(name for name in names if name not in needed))
        needed.update(names)
    return dead[::-1]
