"""The adapters of a compiled program: by name, their tensors and the program that takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from lowering.host.memory import in_kind
from lowering.ir.errors import BridgeError, did_you_mean
from lowering.ir.program import InputKind
from runtime.bound_weights import BoundWeights
from runtime.frame import Shared, import_tensor
from runtime.hooks import Hooks
from runtime.origin import Origin

if TYPE_CHECKING:
    from runtime.executor import Compiled
    from runtime.loaded import Loaded


C = TypeVar("C", bound="HasAdapters")


class Given(NamedTuple):
    """Tensors that come with each call, by value name: in host form, and as an engine's handles."""

    host: Mapping[str, Any]
    handles: Mapping[str, Any]


class AdapterRefused(BridgeError, ValueError):
    """An adapter that cannot be read, does not fit a program, or is not there; one sentence."""


NOTHING_GIVEN = Given({}, {})


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
        self.calls = {**self.calls, name: program.with_given(given(program, adapter.tensors))}

    def remove(self, name: str) -> None:
        """A call that runs goes on; a program that no adapter takes any more goes."""
        self.calls = {other: call for other, call in self.calls.items() if other != name}
        form = self._forms.pop(name)
        if form not in self._forms.values():
            del self._programs[form]

    def with_weights(self, bound: BoundWeights) -> Callable[[], Iterable[Loaded]]:
        """Load all programs over these weights; the result has calls begin with them."""
        loaded = {form: made._loaded.with_weights(bound) for form, made in self._programs.items()}

        def swap() -> Iterable[Loaded]:
            for form, new in loaded.items():
                made = self._programs[form]
                made._loaded = new
                if made._shared.origin is not None:
                    made._shared.origin.keep_weights(bound.weights)
            for name, call in self.calls.items():
                call._loaded = loaded[self._forms[name]]
            return loaded.values()

        return swap


class HasAdapters:
    """The part of a compiled program that adapters are added to, and called by."""

    _shared: Shared
    _adapters: Adapters
    # Held while weights or adapters change.
    _setting: threading.Lock
    # None: without an adapter.
    _given: Given | None
    _hooks: Hooks

    def add_adapter(self, name: str, weights: Any, scale: float | None = None, *, config: Any = None) -> None:
        """Have `with_adapter(name)` call the program with a low-rank adapter. The weights stay as they are.

        `weights`: a folder or a `.safetensors` file as PEFT writes it, or a state dict with its names; its
        tensors are copied. `scale`: in place of `lora_alpha / r`; without settings it is needed. `config`:
        PEFT's settings, a file or a mapping, in place of those beside the file.

        The first adapter of a form, which is the layers and ranks, is compiled for. Raises AdapterRefused for
        one that does not fit and for a name that is taken, EngineError.
        """
        origin = self._owner()
        with self._setting:
            if name in self._adapters.calls:
                raise AdapterRefused(f"the adapter {name!r} is there; remove it first")
            adapter = origin.adapter(weights, scale, config)
            self._adapters.add(
                name, adapter, lambda: origin.with_adapters(adapter.form, cast("Compiled", self))
            )

    def remove_adapter(self, name: str) -> None:
        """Forget an adapter; calls that run go on. Raises AdapterRefused."""
        with self._setting:
            self.with_adapter(name)
            self._adapters.remove(name)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters, in the order in which they came."""
        return tuple(self._adapters.calls)

    def with_adapter(self, name: str) -> Compiled:
        """The program with an adapter, over the same weights and state. Raises AdapterRefused."""
        found = self._adapters.calls.get(name)
        if found is None:
            near = did_you_mean(name, self.adapters)
            raise AdapterRefused(f"the adapter {name!r} does not exist{near}")
        return found

    def with_given(self: C, given: Given) -> C:
        """The same program, called with these tensors of an adapter."""
        made = copy(self)
        made._given, made._hooks = given, Hooks(self._shared)
        return made

    def _owner(self) -> Origin:
        """The lowered program, to change what this one has."""
        origin = self._shared.origin
        if origin is None:
            raise TypeError("a program that was put together by hand keeps its weights")
        if self._given is not None:
            raise AdapterRefused(
                "this program has an adapter: set weights and add adapters on the one without"
            )
        return origin


def given(program: Compiled, tensors: Mapping[str, Any]) -> Given:
    """An adapter's tensors as calls of a program take them: handles of the engine that it is loaded for."""
    names = {
        spec.name: spec.fqn or ""
        for spec in program.program.signature.inputs
        if spec.kind is InputKind.ADAPTER
    }
    is_torch = bool(program._loaded.on_host)
    host = {name: in_kind(tensors[fqn], is_torch) for name, fqn in names.items()}
    call = next((found for step in program._loaded.steps if (found := step.any_ready()) is not None), None)
    if call is None:
        return Given(host, {})
    report = copy(program.report)
    handles = {
        name: import_tensor(call.engine, call.target, report, tensors[fqn]) for name, fqn in names.items()
    }
    return Given(host, handles)
