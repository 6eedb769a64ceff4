"""The adapters of a compiled program: by name, their tensors and the program that takes them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from lowering.host.memory import in_kind
from lowering.ir.errors import BridgeError
from lowering.ir.program import InputKind
from runtime.bound_weights import BoundWeights
from runtime.executor import Executor
from runtime.frame import Given, import_tensor
from runtime.loaded import Loaded

if TYPE_CHECKING:
    from bridge.compiled.compiled import Compiled


class AdapterRefused(BridgeError, ValueError):
    """An adapter that cannot be read, does not fit a program, or is not there; one sentence."""


class BoundAdapter(Protocol):
    """An adapter that fits. `form`: equal where the code is the same. `tensors`: by full name."""

    @property
    def form(self) -> Hashable: ...
    @property
    def tensors(self) -> Mapping[str, Any]: ...


class Adapters:
    """The programs with adapters beside one without, and by name their calls. Its owner has a lock."""

    def __init__(self) -> None:
        self._programs: dict[Hashable, Compiled] = {}
        self._forms: dict[str, Hashable] = {}
        # Calls read it without a lock: it is replaced, and never written to.
        self.calls: Mapping[str, Compiled] = {}

    def add(self, name: str, adapter: BoundAdapter, compile: Callable[[], Compiled]) -> None:
        """`compile`: makes the program for adapters of this form, where there is none."""
        program = self._programs.get(adapter.form)
        if program is None:
            program = self._programs[adapter.form] = compile()
        self._forms[name] = adapter.form
        self.calls = {**self.calls, name: program.with_given(given(program.executor, adapter.tensors))}

    def remove(self, name: str) -> None:
        """A call that runs goes on; a program that no adapter takes any more goes."""
        self.calls = {other: call for other, call in self.calls.items() if other != name}
        form = self._forms.pop(name)
        if form not in self._forms.values():
            del self._programs[form]

    def with_weights(self, bound: BoundWeights) -> Callable[[], Iterable[Loaded]]:
        """Load all programs over these weights; the result has calls begin with them."""
        loaded = {form: made.executor.loaded.with_weights(bound) for form, made in self._programs.items()}

        def swap() -> Iterable[Loaded]:
            for form, new in loaded.items():
                self._programs[form].begin_with(new)
            for name, call in self.calls.items():
                call.hooks.begin_with(loaded[self._forms[name]])
            return loaded.values()

        return swap


def given(executor: Executor, tensors: Mapping[str, Any]) -> Given:
    """An adapter's tensors as calls of a program take them: handles of the engine that it is loaded for."""
    names = {
        spec.name: spec.fqn or ""
        for spec in executor.program.signature.inputs
        if spec.kind is InputKind.ADAPTER
    }
    is_torch = bool(executor.loaded.on_host)
    host = {name: in_kind(tensors[fqn], is_torch) for name, fqn in names.items()}
    call = next((found for step in executor.loaded.steps if (found := step.any_ready()) is not None), None)
    if call is None:
        return Given(host, {})
    report = copy(executor.report)
    handles = {
        name: import_tensor(call.engine, call.target, report, tensors[fqn]) for name, fqn in names.items()
    }
    return Given(host, handles)
