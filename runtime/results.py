"""The end of a call: the values that it returns and writes back, and their memory.

The caller may write to returned tensors, and the executor replaces buffers and writes inputs. So a returned
tensor does not share memory with a weight, a buffer or a written input. A buffer shares none with the caller.
Engines return memory of its own for every result; only the host target makes views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lowering.host.memory import base, in_kind, overlap, private_copy, same_elements, write
from lowering.host.weights import materialise, torch_weights
from lowering.ir.program import BUFFER_WRITES, MUTATIONS, STORED, Arg, InputKind, OutputKind, Program, Ref
from lowering.ir.types import SymType
from lowering.ir.updates import tied
from lowering.ir.weights import Weights
from lowering.targets.errors import ExecutionError, InputError
from lowering.targets.target import HostExecutable
from runtime.buffer_store import BufferStore
from runtime.frame import Frame, Shared, read_scalar
from runtime.inputs import Bound, Leaf

RETURNED = (OutputKind.USER, OutputKind.LOSS)


class Contract(NamedTuple):
    """The roles of a program's inputs and outputs.

    `constants`: full name of each value that is an unchanging weight. `buffers`: the value of each weight
    that changes between calls; `tied`: other names of such, which go with them. `returned`: the values that
    the caller gets. `buffer_writes`: (value, full name); `input_writes`: (value, place among the leaves).
    `identity`: values that are one of the caller's own tensors, by its place, as eager returns them.
    """

    constants: dict[str, str]
    buffers: dict[str, str]
    returned: tuple[Arg, ...]
    buffer_writes: tuple[tuple[str, str], ...]
    input_writes: tuple[tuple[str, int], ...]
    identity: dict[str, int]
    tied: dict[str, str]


def read_contract(program: Program, leaves: Sequence[Leaf]) -> Contract:
    """Raises ExecutionError for what cannot be run: gradients, script objects."""
    signature = program.signature
    for spec in signature.outputs:
        if spec.kind not in (*RETURNED, *MUTATIONS, OutputKind.TOKEN):
            raise ExecutionError(f"outputs of kind {spec.kind.value} cannot be run: export without them")
    for spec in signature.inputs:
        if spec.kind is InputKind.OBJECT:
            raise ExecutionError(f"the script object {spec.fqn!r} cannot be run")
    places = {leaf.spec.name: index for index, leaf in enumerate(leaves)}
    buffer_writes = [
        (_name(s.value), s.destination or "") for s in signature.outputs if s.kind in BUFFER_WRITES
    ]
    input_writes = [
        (_name(s.value), places[s.destination or ""])
        for s in signature.outputs
        if s.kind is OutputKind.INPUT_MUTATION
    ]
    stored = {spec.fqn or spec.name: spec.name for spec in signature.inputs if spec.kind in STORED}
    written = {fqn for _, fqn in buffer_writes}
    # A buffer that another method writes comes back as it is.
    buffer_writes = [(value, fqn) for value, fqn in buffer_writes if value != stored.get(fqn)]
    if not written <= stored.keys():
        raise ExecutionError(f"the program writes {min(written - stored.keys())}, which it does not read")
    overwritten = {place for _, place in input_writes}
    others = tied(program)
    return Contract(
        {name: fqn for fqn, name in stored.items() if fqn not in written},
        {fqn: name for fqn, name in stored.items() if fqn in written and fqn not in others},
        tuple(spec.value for spec in signature.outputs if spec.kind in RETURNED),
        tuple((value, fqn) for value, fqn in buffer_writes if fqn not in others),
        tuple(input_writes),
        {name: place for name, place in places.items() if place not in overwritten} | dict(input_writes),
        others,
    )


def _name(value: Arg) -> str:
    if not isinstance(value, Ref):
        raise ExecutionError(f"the program writes back the literal {value!r}, which is not a tensor")
    return value.name


class Results:
    """Finishes the calls of one program."""

    def __init__(
        self,
        shared: Shared,
        weights: Weights,
        contract: Contract,
        leaves: Sequence[Leaf],
        on_host: Callable[[], Sequence[HostExecutable]],
    ) -> None:
        """`on_host`: gives the segments that run on the host by now, fallbacks included."""
        self._shared = shared
        self._weights = weights
        self._contract = contract
        self._leaves = leaves
        self._on_host = on_host
        self._leaf_names = {leaf.spec.name for leaf in leaves}
        # Values whose memory we keep, or which are an input's before it is written.
        self._ours = {name for name, _ in contract.buffer_writes} | set(contract.buffers.values())
        self._ours |= contract.constants.keys() | self._leaf_names
        written = {fqn for _, fqn in contract.buffer_writes}
        # The buffers that stay as they are, and their values.
        self._unwritten = {fqn: name for fqn, name in contract.buffers.items() if fqn not in written}

    @property
    def views(self) -> bool:
        """Whether the host runs any of the program, and so values may share memory."""
        return bool(self._on_host())

    def check_writable(self, bound: Bound, store: BufferStore) -> None:
        """Raises InputError for inputs that cannot be written, or whose writing would show elsewhere, and for
        those that share memory with a buffer of the caller's."""
        for name, held in store.bound.items():
            for leaf, given in zip(self._leaves, bound.leaves, strict=True):
                if hasattr(given, "shape") and overlap(held, given):
                    raise InputError(
                        f"`{leaf.path.label}` shares memory with the tensor that the buffer {name!r} is "
                        "bound to: pass a copy"
                    )
        for _, place in self._contract.input_writes:
            given, label = bound.leaves[place], self._leaves[place].path.label
            if isinstance(given, np.ndarray):
                if not given.flags.writeable:
                    raise InputError(f"`{label}` is read-only, and the program writes to it")
                steps = zip(given.shape, given.strides, strict=True)
            else:
                if given.is_inference():
                    raise InputError(f"`{label}` is an inference tensor, and the program writes to it")
                steps = zip(given.shape, given.stride(), strict=True)
            if any(size > 1 and step == 0 for size, step in steps):
                raise InputError(f"`{label}` is expanded (a stride is 0), and the program writes to it")
            for index, other in enumerate(bound.leaves):
                if index != place and hasattr(other, "shape") and overlap(given, other):
                    raise InputError(
                        f"`{label}`, which the program writes to, shares memory with "
                        f"`{self._leaves[index].path.label}`: pass a copy of one"
                    )

    def finish(self, frame: Frame, bound: Bound, store: BufferStore) -> list[Any]:
        """Write inputs and buffers, after all values of both are there; return the leaves of the result."""
        contract = self._contract
        on_host = self._on_host()
        views = bool(on_host)
        outside = set().union(*(executable.bases for executable in on_host))
        callers = {base(leaf) for leaf in bound.leaves if hasattr(leaf, "shape")} if views else set()
        if views and self._unwritten:
            outside |= self._unwritten_bases(store)
        host, handles = self._new_state(frame, callers | outside)
        given = [bound.leaves[place] for _, place in contract.input_writes]
        protected = outside | self._written_bases(host, handles, given) if views else set()
        writes = [
            (self._source(frame, name), leaf)
            for (name, _), leaf in zip(contract.input_writes, given, strict=True)
            # A host segment may have written it in place.
            if name not in frame.host or not same_elements(frame.host[name], leaf)
        ]
        leaves = self._outputs(frame, bound, protected)
        for source, given in writes:
            write(source, given)
        if host or handles:
            store.replace(host, handles)
        return leaves

    def _new_state(self, frame: Frame, outside: set[int]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The buffers' new values, in memory that neither the caller, a weight nor another buffer shares."""
        contract = self._contract
        handles: dict[str, Any] = {}
        rest: list[tuple[str, str]] = []
        shared = {*contract.identity, *contract.constants, *self._unwritten.values()}
        for name, fqn in contract.buffer_writes:
            if name in shared or name in frame.host:
                rest.append((name, fqn))
            else:
                handles[fqn] = frame.handles[name]
                shared.add(name)
        if self.views:
            outside = outside | {base(self._shared.to_torch(handle)) for handle in handles.values()}
        host: dict[str, Any] = {}
        for name, fqn in rest:
            value = self._tensor(frame, name)
            host[fqn] = private_copy(value) if name in shared or base(value) in outside else value
            outside = outside | {base(host[fqn])}
        return host, handles

    def _unwritten_bases(self, store: BufferStore) -> set[int]:
        """Addresses of the memory of the buffers that stay as they are."""
        held = (store.host.get(name) for name in self._unwritten)
        handles = (store.handles[name] for name in self._unwritten if name in store.handles)
        return {
            *(base(value) for value in held if value is not None),
            *map(base, map(self._shared.to_torch, handles)),
        }

    def _source(self, frame: Frame, name: str) -> Any:
        """The value written to an input: a copy, where writing another input could change it."""
        value = self._tensor(frame, name)
        return private_copy(value) if self.views or name in self._leaf_names else value

    def _written_bases(
        self, host: Mapping[str, Any], handles: Mapping[str, Any], given: Sequence[Any]
    ) -> set[int]:
        """Addresses of the memory that this call's effects lie in."""
        bases = {base(value) for value in host.values()}
        bases |= {base(self._shared.to_torch(handle)) for handle in handles.values()}
        return bases | set(map(base, given))

    def _outputs(self, frame: Frame, bound: Bound, protected: set[int]) -> list[Any]:
        made: dict[str, Any] = {}
        leaves = []
        for value in self._contract.returned:
            if not isinstance(value, Ref):
                leaves.append(value)
                continue
            if value.name not in made:
                made[value.name] = self._output(frame, bound, value.name, protected)
            leaves.append(made[value.name])
        return leaves

    def _output(self, frame: Frame, bound: Bound, name: str, protected: set[int]) -> Any:
        contract = self._contract
        if name in contract.identity:
            given = bound.leaves[contract.identity[name]]
            return given.detach() if getattr(given, "requires_grad", False) else given
        if isinstance(self._shared.graph.values.get(name), SymType):
            return read_scalar(self._shared, frame, name)
        if name in frame.host or name in contract.constants:
            value = in_kind(self._tensor(frame, name), bound.torch)
            return private_copy(value) if name in self._ours or base(value) in protected else value
        shared, handle = self._shared, frame.handles[name]
        value = shared.to_torch(handle) if bound.torch else shared.to_numpy(handle)
        return private_copy(value) if name in self._ours else value

    def _tensor(self, frame: Frame, name: str) -> Any:
        """A value in host form."""
        if name in frame.host:
            return frame.host[name]
        fqn = self._contract.constants.get(name)
        if fqn is not None:
            if self.views:
                return torch_weights(self._weights, [fqn])[fqn]
            return materialise(self._weights, [fqn])[fqn]
        shared, handle = self._shared, frame.handles[name]
        return shared.to_torch(handle) if self.views else shared.to_numpy(handle)
