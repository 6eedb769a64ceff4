"""The state between calls: the buffers that a program writes, as a value of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from os import PathLike
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from lowering.host.memory import in_kind, overlap, private_copy
from lowering.host.shutdown import closed_at_exit
from lowering.host.tensors import aligned_copy, dtype_of
from lowering.host.weights import materialise, torch_weights
from lowering.ir.errors import BridgeError, did_you_mean
from lowering.ir.types import DType
from lowering.ir.weights import Weights
from lowering.targets.target import Engine
from runtime.buffer_store import BufferStore

S = TypeVar("S", bound="State")
# How many names a sentence lists.
_SHOWN = 8


class StateRefused(BridgeError, ValueError):
    """Values, or a state, that do not fit a program."""


class Written(NamedTuple):
    """The names of the inputs and buffers that a call writes."""

    inputs: tuple[str, ...]
    buffers: tuple[str, ...]


class StateFiles(Protocol):
    """Files of states."""

    def write(self, path: str | PathLike[str], values: Mapping[str, np.ndarray]) -> None:
        """Write arrays by name, all or nothing. Raises BridgeError."""
        ...

    def read(self, path: str | PathLike[str]) -> Mapping[str, np.ndarray]:
        """The arrays of a file. Raises BridgeError."""
        ...


@dataclass
class StateSpec:
    """The buffers that calls write, without their values: the same for all states of a program.

    `names`: full names. `initial`: the values that they begin with. `tied`: other names of a buffer.
    `engines`: those that have made values, by the type of their handles.
    """

    names: tuple[str, ...]
    initial: Weights
    tied: Mapping[str, str] = field(default_factory=dict)
    engines: dict[type, Engine] = field(default_factory=dict)
    files: StateFiles | None = None

    def first_values(self) -> dict[str, Any]:
        """A copy of each buffer's first value."""
        views = self.initial.views
        # numpy has no complex32.
        only_torch = [n for n in self.names if n in views and views[n].dtype is DType.COMPLEX32]
        initial = materialise(self.initial, [name for name in self.names if name not in only_torch])
        found: dict[str, Any] = {name: aligned_copy(array) for name, array in initial.items()}
        return found | torch_weights(self.initial, only_torch, private=only_torch) if only_torch else found


@closed_at_exit("read", "reset", "clone", "rollback", "set", "bind", "unbind", "save", "load")
class State(Mapping[str, Any]):
    """The buffers that a program writes, by full name.

    As a mapping it gives copies of the current values, of the library that the last call's tensors were of;
    before a call torch's, where it is imported. All of it is safe beside calls: it takes their lock.

    `store`: the values as calls take them.
    """

    def __init__(self, spec: StateSpec, values: dict[str, Any] | None = None) -> None:
        """`values`: of all buffers, nobody else's; by default their first ones."""
        self.spec = spec
        self.store = BufferStore(spec.first_values() if values is None else values, spec.engines)

    def __getitem__(self, name: str) -> Any:
        with self.store.lock:
            return self._copy(self.spec.tied.get(name, name))

    def __setitem__(self, name: str, value: Any) -> None:
        self.set({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter((*self.spec.names, *self.spec.tied))

    def __len__(self) -> int:
        return len(self.spec.names) + len(self.spec.tied)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} buffers, {self.bytes} bytes>"

    def __eq__(self, other: object) -> bool:
        """A state is equal to itself alone: its values change."""
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def bytes(self) -> int:
        """The bytes of all buffers, those with several names once."""
        return sum(
            np.prod(sizes, dtype=int) * dtype.itemsize for dtype, sizes in map(self._type, self.spec.names)
        )

    def read(self) -> dict[str, Any]:
        """All values of one moment, by full name; copies."""
        with self.store.lock:
            held = {name: self._copy(name) for name in self.spec.names}
        return held | {name: private_copy(held[other]) for name, other in self.spec.tied.items()}

    def reset(self) -> None:
        """Give the buffers the values that they had before the first call."""
        values = self.spec.first_values()
        with self.store.lock:
            self.store.take(values)

    def clone(self: S) -> S:
        """Another state of the same values; it takes as much memory again."""
        with self.store.lock:
            made = type(self)(self.spec, self._all())
            made.store.uses_torch = self.store.uses_torch
        return made

    def rollback(self, mark: State) -> None:
        """Take the values of another state of the same program, such as a clone of an earlier moment.

        That one stays as it is: it costs a copy of the state, as the clone did. Raises StateRefused for a
        state of another program.
        """
        self.require(mark)
        if mark is self:
            return
        with mark.store.lock:
            values = mark._all()
        with self.store.lock:
            self.store.take(values)

    def set(self, values: Mapping[str, Any]) -> None:
        """Give buffers, all or some, copies of these tensors of torch or numpy.

        Raises StateRefused for a name, a dtype or sizes that the program does not have. Then nothing has
        changed.
        """
        checked = self._checked(values)
        with self.store.lock:
            self._assign({name: _copy_of(value) for name, value in checked.items()})

    def bind(self, tensors: Mapping[str, Any]) -> None:
        """Have buffers, all or some, lie in these tensors of torch or numpy, with the values that these have.

        A call finds what the caller has written to them, and leaves the new values there: in place on ATen.
        An engine computes in memory of its own, which is copied. Write to them between calls only. `reset`,
        `set`, `load` and `rollback` write to them too; a clone has copies. Raises StateRefused for a name, a
        dtype or sizes that the program does not have, and for tensors that are not dense, writable memory of
        the CPU, each its own. Then nothing has changed.
        """
        checked = self._checked(tensors)
        for name, tensor in checked.items():
            if problem := _not_to_be_held(tensor):
                raise StateRefused(f"the buffer {name!r} cannot be bound to a tensor that {problem}")
        held = {name: t if isinstance(t, np.ndarray) else t.detach() for name, t in checked.items()}
        with self.store.lock:
            after = {**self.store.bound, **held}
            for (one, first), (other, second) in combinations(after.items(), 2):
                if overlap(first, second):
                    raise StateRefused(f"the buffers {one!r} and {other!r} would share memory")
            self.store.bind(held)

    def unbind(self) -> None:
        """Have all buffers lie in memory of their own again, with the values that they have."""
        with self.store.lock:
            self.store.unbind()

    def save(self, path: str | PathLike[str]) -> None:
        """Write all values to a `.safetensors` file, all or nothing. Raises BridgeError."""
        with self.store.lock:
            values = {name: in_kind(self._host_copy(name), is_torch=False) for name in self.spec.names}
        self._files().write(path, values)

    def load(self, path: str | PathLike[str]) -> None:
        """Take all values from a file that `save` wrote.

        Raises BridgeError for a file that cannot be read, or that does not have exactly the program's
        buffers, of their dtypes and sizes. Then nothing has changed.
        """
        found = self._files().read(path)
        try:
            if missing := [name for name in self.spec.names if name not in found]:
                raise StateRefused(f"the buffer {missing[0]!r} is missing{_and_more(len(missing) - 1)}")
            self.set(found)
        except StateRefused as problem:
            raise StateRefused(f"{path}: {problem}") from None

    def require(self, other: State) -> None:
        """Raise StateRefused for a state of another program."""
        if not isinstance(other, State) or other.spec is not self.spec:
            what = (
                "is of another program: save it, and load it into one of this"
                if isinstance(other, State)
                else (f"is a {type(other).__name__}: give one that state() or clone() returned")
            )
            raise StateRefused(f"the state {what}")

    # ------------------------------------------------------------------------------------------- inside

    def _all(self) -> dict[str, Any]:
        """Copies of all values in host form, as the store takes them."""
        return {name: self._host_copy(name) for name in self.spec.names}

    def _assign(self, values: Mapping[str, Any]) -> None:
        """Give some buffers values that are nobody else's."""
        self.store.replace(values, {})

    def _copy(self, name: str) -> Any:
        """A copy for the caller."""
        is_torch = "torch" in sys.modules if self.store.uses_torch is None else self.store.uses_torch
        if name in self.store.host:
            return private_copy(in_kind(self.store.host[name], is_torch))
        handle = self.store.handles[name]
        engine = self.spec.engines[type(handle)]
        return private_copy(engine.to_torch(handle) if is_torch else engine.to_numpy(handle))

    def _host_copy(self, name: str) -> Any:
        if name in self.store.host:
            return private_copy(self.store.host[name])
        handle = self.store.handles[name]
        return aligned_copy(self.spec.engines[type(handle)].to_numpy(handle))

    def _type(self, name: str) -> tuple[DType, tuple[int, ...]]:
        view = self.spec.initial.views[name]
        return view.dtype, view.sizes

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """By the first name of each buffer, its value. Raises StateRefused."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            own = self.spec.tied.get(name, name)
            if own not in self.spec.names:
                raise StateRefused(
                    f"the program writes no buffer {name!r}; it writes {_listed(list(self))}"
                    f"{did_you_mean(str(name), list(self))}"
                )
            dtype, sizes = self._type(own)
            if (given := _type_of(value)) != (wanted := f"{dtype} {list(sizes)}"):
                raise StateRefused(f"the buffer {name!r} is {wanted}, not {given}")
            if own in found and not _same_bits(found[own], value):
                raise StateRefused(f"the buffer {own!r} has the name {name!r} too, and two values are given")
            found[own] = value
        return found

    def _files(self) -> StateFiles:
        if self.spec.files is None:
            raise TypeError("a program that was put together by hand has no files")
        return self.spec.files


def _type_of(value: Any) -> str:
    """The dtype and the sizes of a tensor; of anything else what it is."""
    layout = str(getattr(value, "layout", "torch.strided")).removeprefix("torch.")
    try:
        text = f"{dtype_of(value)} {list(value.shape)}"
    except (AttributeError, TypeError):
        return f"a {type(value).__name__}"
    return text if layout == "strided" else f"{layout} {text}"


def _copy_of(value: Any) -> Any:
    """A copy of a caller's tensor, row-major and on the CPU."""
    if isinstance(value, np.ndarray):
        return aligned_copy(value)
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if dtype_of(plain) is DType.COMPLEX32:
        return plain.clone().contiguous()
    return aligned_copy(in_kind(plain, is_torch=False))


def _not_to_be_held(tensor: Any) -> str:
    """Why no buffer can lie in a caller's tensor, as the end of a sentence; empty where it can."""
    if isinstance(tensor, np.ndarray):
        if not tensor.flags.c_contiguous:
            return "is not row-major"
        return "" if tensor.flags.writeable else "is read-only"
    if tensor.device.type != "cpu":
        return f"is on {tensor.device}"
    if tensor.requires_grad or tensor.is_inference():
        return "requires grad" if tensor.requires_grad else "is an inference tensor"
    if tensor.is_conj() or tensor.is_neg():
        return "is a conjugate or negated view"
    return "" if tensor.is_contiguous() else "is not row-major"


def _same_bits(one: Any, other: Any) -> bool:
    first, second = _copy_of(one), _copy_of(other)
    return in_kind(first, False).tobytes() == in_kind(second, False).tobytes()


def _listed(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:_SHOWN]) + _and_more(len(names) - _SHOWN)


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
