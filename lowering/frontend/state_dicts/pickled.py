"""The pickle inside a `torch.save` file, read without executing it.

`pickletools` decodes the opcodes, and a small stack machine takes those that state dicts use. It imports
nothing and calls nothing by name: the few globals that torch writes are rows of a table. Format: the source
of `torch.serialization` and `torch._utils` (`_rebuild_tensor_v2`, `_rebuild_parameter`).
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lowering.frontend.state_dicts.errors import StateDictError, UnknownPickle
from lowering.ir.types import DType

#: A tuple that a pickle makes has as many items, those of its items counted with it.
MAX_ITEMS = 1 << 16
#: As many values as a pickle may make; a state dict of 10,000 tensors makes some 300,000.
MAX_VALUES = 20_000_000


class StoredBytes(NamedTuple):
    """A storage as the pickle names it: the entry `data/<key>`, its dtype, and its size in elements."""

    key: str
    dtype: DType | None
    elements: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a view of a storage. Sizes, strides and offset are in elements of `dtype`."""

    storage: StoredBytes
    dtype: DType
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class _Global(NamedTuple):
    """A name that the pickle refers to, as `module name`."""

    name: str


_MARK = object()

_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
# A name counts as nothing, which nothing else does. torch refuses to call other values, and says each item.
_GLOBALS = frozenset(("GLOBAL", "STACK_GLOBAL"))
_CALLED = frozenset(("REDUCE", "NEWOBJ"))
# Values with a hash that goes through what they are made of: tuples, and what a call makes of its tuple.
_WHOLE = frozenset(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ", "BUILD", "FROZENSET"))

# Classes of `torch` that name a storage's dtype; `UntypedStorage` counts bytes and names none.
_STORAGES = {
    "DoubleStorage": DType.FLOAT64,
    "FloatStorage": DType.FLOAT32,
    "HalfStorage": DType.FLOAT16,
    "BFloat16Storage": DType.BFLOAT16,
    "LongStorage": DType.INT64,
    "IntStorage": DType.INT32,
    "ShortStorage": DType.INT16,
    "CharStorage": DType.INT8,
    "ByteStorage": DType.UINT8,
    "BoolStorage": DType.BOOL,
    "ComplexFloatStorage": DType.COMPLEX64,
    "ComplexDoubleStorage": DType.COMPLEX128,
}


def read_pickle(source: str | Path, data: bytes) -> Any:
    """The value that a pickle describes, its tensors as `StoredTensor`.

    Raises UnknownPickle for a pickle with anything but tensors, numbers, text and containers, StateDictError
    for one that is damaged.
    """
    machine = _Machine(source)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except StateDictError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as problem:
        raise StateDictError(source, f"its pickle is damaged: {problem}") from None
    raise StateDictError(source, "its pickle is damaged: it does not end")


def check_pickle(source: str | Path, data: BinaryIO) -> None:
    """Raise StateDictError for a pickle that takes torch's reader more time or memory than its size.

    A tuple of twice a tuple of twice a tuple is small, and its hash is not. Damage is left to torch to tell.
    `data` is read up to the pickle's end.
    """
    stack: list[int | None] = []
    memo: dict[int, int | None] = {}
    try:
        given: Any
        for opcode, given, _ in pickletools.genops(data):
            if opcode.name in _PUTS:
                memo[len(memo) if given is None else int(given)] = stack[-1]
                continue
            if opcode.name in _GETS:
                stack.append(memo[int(given)])
                continue
            if isinstance(given, str) and given.endswith("bytearray"):
                raise StateDictError(source, "its pickle makes a bytearray, which no state dict needs")
            items = _taken(stack, opcode.stack_before)
            # A list has no hash, nor has a dict: what they hold is not gone through.
            size = 0 if opcode.name in _GLOBALS else 1 + sum(items) if opcode.name in _WHOLE else 1
            if opcode.name in _CALLED and items[0] != 0:
                raise StateDictError(source, "its pickle calls something that is not a name")
            if size > MAX_ITEMS:
                raise StateDictError(source, f"its pickle makes a tuple of more than {MAX_ITEMS} values")
            stack += [None if made is pickletools.markobject else size for made in opcode.stack_after]
    except StateDictError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError):
        return


def _taken(stack: list[int | None], wanted: Sequence[pickletools.StackObject]) -> list[int]:
    """The sizes of what an opcode takes off the stack: so many values, or those down to the last mark."""
    if pickletools.markobject in wanted:
        at = max(place for place, item in enumerate(stack) if item is None)
        items = [item or 0 for item in stack[at:]]
        del stack[at:]
        return items + _taken(stack, wanted[: wanted.index(pickletools.markobject)])
    at = len(stack) - len(wanted)
    items = [item or 0 for item in stack[at:]]
    del stack[at:]
    return items


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, source: str | Path) -> None:
        self.source = source
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.made = 0

    def step(self, name: str, argument: Any) -> None:
        self.made += 1
        if self.made > MAX_VALUES:
            raise StateDictError(self.source, f"its pickle makes more than {MAX_VALUES} values")
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise UnknownPickle(self.source, f"its pickle has the opcode {name}, which no state dict has")

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_marked(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def refer(self, name: str) -> None:
        self.stack.append(_Global(name))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("items are set of something that is not a dict")
        target.update(_dict(zip(items[::2], items[1::2], strict=True)))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items are appended to something that is not a list")
        self.stack[-1].extend(items)

    def build(self) -> None:
        """State of an object: of an ordered dict, its version metadata, which is dropped."""
        self.pop()
        if not isinstance(self.stack[-1], dict):
            raise UnknownPickle(self.source, "its pickle sets the state of an object that is not a dict")

    def reduce(self) -> None:
        arguments, called = self.pop(), self.pop()
        name = called.name if isinstance(called, _Global) else str(type(called).__name__)
        rebuild = _CALLS.get(name)
        if rebuild is None:
            raise UnknownPickle(self.source, f"its pickle calls {name}, which no state dict needs")
        self.stack.append(rebuild(*arguments))

    def persistent(self) -> None:
        """A storage: `("storage", class, key, device, elements)`."""
        kind, cls, key, _, elements = self.pop()
        if kind != "storage" or not isinstance(key, str) or type(elements) is not int or elements < 0:
            raise ValueError("a storage is not described as torch does")
        _, _, name = cls.name.rpartition(" ")
        if name not in _STORAGES and name != "UntypedStorage":
            raise UnknownPickle(self.source, f"its pickle has a storage of the class {name}")
        self.stack.append(StoredBytes(key, _STORAGES.get(name), elements))


def _global_of_stack(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a global has no name")
    machine.refer(f"{module} {name}")


def _memoise(machine: _Machine, at: int | None) -> None:
    machine.memo[len(machine.memo) if at is None else at] = machine.stack[-1]


_LITERALS = frozenset(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 SHORT_BINBYTES "
    "BINBYTES".split()
)
_CONSTANTS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_STEPS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    "GLOBAL": lambda machine, name: machine.refer(name),
    "STACK_GLOBAL": _global_of_stack,
    "BINPUT": _memoise,
    "LONG_BINPUT": _memoise,
    "MEMOIZE": lambda machine, _: _memoise(machine, None),
    "BINGET": lambda machine, at: machine.stack.append(machine.memo[at]),
    "LONG_BINGET": lambda machine, at: machine.stack.append(machine.memo[at]),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_marked())),
    "TUPLE1": lambda machine, _: machine.stack.append((machine.pop(),)),
    "TUPLE2": lambda machine, _: machine.stack.append((machine.pop(), machine.pop())[::-1]),
    "TUPLE3": lambda machine, _: machine.stack.append((machine.pop(), machine.pop(), machine.pop())[::-1]),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_marked()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_marked()),
    "BUILD": lambda machine, _: machine.build(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BINPERSID": lambda machine, _: machine.persistent(),
}


def _tensor(storage: StoredBytes, offset: int, sizes: Any, strides: Any, *rest: Any) -> StoredTensor:
    """torch's `_rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad, hooks)`, and v3."""
    dtype = storage.dtype
    if dtype is None:
        named = rest[2] if len(rest) > 2 else None
        if not isinstance(named, _Global):
            raise ValueError("a tensor over untyped bytes has no dtype")
        dtype = DType(named.name.removeprefix("torch "))
    numbers = (offset, *sizes, *strides)
    if len(sizes) != len(strides) or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError("a tensor's sizes, strides and offset are not counts")
    return StoredTensor(storage, dtype, tuple(sizes), tuple(strides), offset)


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    """A dict of plain keys: the hash of a tuple goes through all that it holds, each time that it does."""
    made: dict[Any, Any] = {}
    for key, value in pairs.items() if isinstance(pairs, dict) else pairs:
        if not isinstance(key, str | bytes | int | float | None):
            raise ValueError(f"a key is a {type(key).__name__}")
        made[key] = value
    return made


def _device(kind: Any, index: Any = 0) -> str:
    if not isinstance(kind, str) or not isinstance(index, int):
        raise ValueError("a device is not described as torch does")
    return f"{kind}:{index}"


_CALLS: Mapping[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _tensor,
    "torch._utils _rebuild_parameter": lambda data, *_: data,
    "torch._utils _rebuild_parameter_with_state": lambda data, *_: data,
    "collections OrderedDict": _dict,
    "torch Size": lambda sizes=(): tuple(sizes),
    "torch device": _device,
}
