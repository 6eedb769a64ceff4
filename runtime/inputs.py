"""Binding a call's arguments to a program's inputs, and refusing wrong ones before anything runs.

Every refusal is one sentence. It names the input as the caller wrote it (`x`, `batch['a']`), the expected
type and the value. Guards are checked in the same words.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lowering.host.tensors import dtype_of, numpy_dtype, torch_dtype
from lowering.ir.argument_paths import LeafPath, leaf_paths, top_level_names
from lowering.ir.errors import did_you_mean
from lowering.ir.program import InputKind, InputSpec, Program
from lowering.ir.symbols import Dim, Expr, Scalar
from lowering.ir.tree import NodeType, TreeMismatch, flatten
from lowering.ir.types import DType, SymKind, SymType, TensorType
from lowering.targets.errors import InputError
from runtime.guards import Guards
from runtime.sizes import Sizes

NO_TYPES: Mapping[str, NodeType] = {}
# Of these an array is its elements and nothing else.
_PLAIN_ARRAYS = (np.ndarray, np.memmap)


class Bound(NamedTuple):
    """A call's arguments, checked.

    `leaves`: as the caller gave them, in order; `symbols`: the sizes they bind; `torch`: whether tensors are
    torch's (else numpy's).
    """

    leaves: Sequence[Any]
    symbols: dict[str, Scalar]
    torch: bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """One user input: its place in the call, its row of the signature, its type (None for a literal)."""

    path: LeafPath
    spec: InputSpec
    type: TensorType | SymType | None


class Binder:
    """The checks of one program's calls, prepared once.

    `devices`: types of torch devices that inputs may lie on. `types`: container types beyond Python's own.
    """

    def __init__(
        self, program: Program, devices: Sequence[str] = ("cpu",), types: Mapping[str, NodeType] = NO_TYPES
    ) -> None:
        signature = program.signature
        specs = [spec for spec in signature.inputs if spec.kind in (InputKind.USER, InputKind.LITERAL)]
        paths = leaf_paths(signature.in_spec, signature.argument_names)
        if len(paths) != len(specs):
            raise ValueError(f"the program has {len(specs)} user inputs, its signature {len(paths)}")
        self.leaves = tuple(
            Leaf(path, spec, _leaf_type(program, spec)) for path, spec in zip(paths, specs, strict=True)
        )
        self.devices = frozenset(devices)
        self._types = types
        positional, keyword = top_level_names(signature.in_spec, signature.argument_names)
        self._names = [*positional, *keyword]
        self._positional = len(positional)
        self._specs = [child for side in signature.in_spec.children for child in side.children]
        self._sizes = Sizes(
            program, [leaf.type for leaf in self.leaves], [leaf.path.label for leaf in self.leaves]
        )
        self._guards = Guards(program.guards, paths)
        self.unchecked_guards = self._guards.unchecked
        # Calls whose checks depend on nothing but each tensor's dtype and shape.
        self.plain = _is_plain(signature.in_spec, self.leaves) and not self._guards and "cpu" in self.devices
        tensors = [leaf.type for leaf in self.leaves if isinstance(leaf.type, TensorType)]
        self._static = self.plain and all(type_.is_static for type_ in tensors)
        self._shapes = tuple(type_.sizes for type_ in tensors)
        self._numpy_dtypes = tuple(_numpy_or_none(type_.dtype) for type_ in tensors)
        self._dtypes = tuple(type_.dtype for type_ in tensors)
        self._torch_dtypes: tuple[Any, ...] | None = None
        self._tensor: type | None = None
        self._dense: Any = None
        self._forward_mode: Any = None
        self._transforms: Any = None

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Bound:
        """Check a call. Raises InputError; nothing has run by then."""
        if self._static and not kwargs:
            if self.fast_torch(args) and not self._transforms():
                return Bound(args, {}, True)
            if self.fast_numpy(args):
                return Bound(args, {}, False)
        return self._bind(args, kwargs)

    def fast_torch(self, args: tuple[Any, ...], shapes: Sequence[Any] | None = None) -> bool:
        """Whether these are plain CPU tensors exactly as the program takes them. False decides nothing.

        `shapes`: the shapes of an earlier call that passed; by default the static ones.
        """
        shapes = self._shapes if shapes is None else shapes
        if len(args) != len(shapes):
            return False
        tensor = self._tensor
        if tensor is None and (tensor := self._find_torch()) is None:
            return False
        if self._forward_mode._current_level >= 0:
            return False  # the slow path looks for tangents
        dtypes = self._torch_dtypes or ()
        try:
            for given, dtype, shape in zip(args, dtypes, shapes):  # noqa: B905 - as many, and strict costs time
                if (
                    type(given) is not tensor
                    or given.dtype is not dtype
                    or given.shape != shape
                    or not given.is_cpu
                    or given.requires_grad
                    or given.layout is not self._dense
                    or given.is_neg()
                ):
                    return False
        except RuntimeError:  # a nested tensor has no shape
            return False
        return bool(args)

    def _find_torch(self) -> type | None:
        """torch.Tensor, if the process has torch; then torch's dtypes are looked up too."""
        torch = sys.modules.get("torch")
        if not self.plain or torch is None or not hasattr(torch, "Tensor"):
            return None
        if any(dtype.is_complex for dtype in self._dtypes):
            return None  # a conjugate bit is looked for on the slow path
        self._torch_dtypes = tuple(torch_dtype(dtype) for dtype in self._dtypes)
        self._dense = torch.strided
        self._forward_mode = torch.autograd.forward_ad
        self._transforms = torch._C._functorch.peek_interpreter_stack
        self._tensor = torch.Tensor
        return torch.Tensor

    def fast_numpy(self, args: tuple[Any, ...], shapes: Sequence[Any] | None = None) -> bool:
        """The same of numpy arrays."""
        shapes = self._shapes if shapes is None else shapes
        if len(args) != len(shapes):
            return False
        for given, dtype, shape in zip(args, self._numpy_dtypes, shapes, strict=True):
            if type(given) is not np.ndarray or given.dtype != dtype or given.shape != shape:
                return False
        return bool(args)

    def bind_leaves(self, leaves: Sequence[Any]) -> Bound:
        """Check a call given as the leaves of its arguments. Raises InputError."""
        if len(leaves) != len(self.leaves):
            raise InputError(f"{len(leaves)} values were given, the program takes {len(self.leaves)}")
        uses_torch = _tensor_library(self.leaves, leaves)
        for leaf, given in zip(self.leaves, leaves, strict=True):
            if leaf.spec.kind is InputKind.LITERAL:
                _check_literal(leaf, given)
            elif isinstance(leaf.type, TensorType):
                self._check_tensor(leaf, leaf.type, given)
            elif isinstance(leaf.type, SymType):
                _check_scalar(leaf, leaf.type, given)
        leaves = [value.item() if isinstance(value, np.generic) else value for value in leaves]
        symbols = self._sizes.bind(leaves)
        self._guards.check(leaves, symbols)
        return Bound(leaves, symbols, uses_torch)

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Bound:
        return self.bind_leaves(self._flatten(args, kwargs))

    def _flatten(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The leaves of a call, each argument taken apart by its own spec."""
        leaves: list[Any] = []
        for name, spec, value in zip(self._names, self._specs, self._in_order(args, kwargs), strict=True):
            if spec.type is None:
                leaves.append(value)
                continue
            try:
                leaves.extend(flatten(value, spec, self._types))
            except TreeMismatch as error:
                raise InputError(f"`{name}` has another structure than the program takes: {error}") from None
        return leaves

    def _in_order(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments in the signature's order, however the caller passed them."""
        names = self._names
        positional, keyword = names[: self._positional], names[self._positional :]
        if len(args) > len(names):
            raise InputError(f"{len(args)} arguments were given, the program takes {_listed(names)}")
        if len(args) > len(positional):
            # In which order they follow is the example call's, which is not the signature's.
            raise InputError(
                f"{len(args)} arguments were given by position, the program takes {len(positional)} so "
                f"({_listed(positional)}): pass {_listed(keyword)} by name"
            )
        given = dict(zip(positional, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise InputError(f"argument `{name}` was given twice")
            if name not in names:
                near = did_you_mean(name, names)
                raise InputError(f"the program has no argument `{name}`, it takes {_listed(names)}{near}")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            verb = "are" if len(missing) > 1 else "is"
            raise InputError(f"{_listed(missing)} {verb} missing, the program takes {_listed(names)}")
        return [given[name] for name in names]

    def _check_tensor(self, leaf: Leaf, type_: TensorType, given: Any) -> None:
        label = leaf.path.label
        if not _is_tensor(given):
            raise InputError(f"`{label}` is {_described(given)}, the program takes {_tensor_text(type_)}")
        if isinstance(given, np.ndarray):
            self._check_array(label, given)
        else:
            self._check_torch(label, type_, given)
        try:
            dtype = dtype_of(given)
        except TypeError as error:
            raise InputError(f"`{label}`: {error}; the program takes {type_.dtype}") from None
        if dtype is not type_.dtype:
            raise InputError(f"`{label}` is {dtype}, the program takes {type_.dtype}")
        if given.ndim != type_.rank:
            raise InputError(
                f"`{label}` has {given.ndim} dimension{'s' * (given.ndim != 1)} {tuple(given.shape)}, "
                f"the program takes {type_.rank} {_sizes_text(type_.sizes)}"
            )

    def _check_array(self, label: str, given: np.ndarray) -> None:
        """A class of arrays with more to it than elements would lose it."""
        if isinstance(given, np.ma.MaskedArray):
            raise InputError(
                f"`{label}` is a masked array, whose mask would be lost: pass {label}.filled(value) "
                f"or {label}.data"
            )
        if type(given) not in _PLAIN_ARRAYS:
            raise InputError(
                f"`{label}` is a {type(given).__name__}, the program takes plain arrays: "
                f"pass numpy.asarray({label})"
            )

    def _check_torch(self, label: str, type_: TensorType, given: Any) -> None:
        """Layout, device and class of a torch tensor."""
        from lowering.host.torch_inputs import lost_meaning

        problem = lost_meaning(given, type_)
        if problem:
            raise InputError(f"`{label}` {problem.format(label)}")
        if given.device.type not in self.devices:
            expected = " or ".join(sorted(self.devices))
            raise InputError(f"`{label}` is on {given.device}, the program takes it on {expected}")


def _leaf_type(program: Program, spec: InputSpec) -> TensorType | SymType | None:
    if spec.kind is InputKind.LITERAL:
        return None
    type_ = program.graph.values[spec.name]
    if not isinstance(type_, (TensorType, SymType)):
        raise ValueError(f"input {spec.name!r} is a script object, which no caller can pass")
    return type_


def _is_plain(in_spec: Any, leaves: Sequence[Leaf]) -> bool:
    """Whether a call is tensors by position and nothing else."""
    positional, keyword = in_spec.children
    flat = all(child.type is None for child in positional.children) and not keyword.children
    return flat and all(isinstance(leaf.type, TensorType) for leaf in leaves)


def _numpy_or_none(dtype: DType) -> np.dtype | None:
    try:
        return numpy_dtype(dtype)
    except TypeError:
        return None


def _is_tensor(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return True
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _tensor_library(leaves: Sequence[Leaf], given: Sequence[Any]) -> bool:
    """Whether the call's tensors are torch's; all are one library's. Without any, whether torch is there."""
    first: Leaf | None = None
    uses_torch = sys.modules.get("torch") is not None
    for leaf, value in zip(leaves, given, strict=True):
        if not isinstance(leaf.type, TensorType) or not _is_tensor(value):
            continue
        is_torch = not isinstance(value, np.ndarray)
        if first is None:
            first, uses_torch = leaf, is_torch
        elif is_torch != uses_torch:
            mine, other = ("torch", "numpy") if is_torch else ("numpy", "torch")
            raise InputError(
                f"`{leaf.path.label}` is a {mine} tensor and `{first.path.label}` a {other} one; "
                "pass one kind"
            )
    return uses_torch


def _check_literal(leaf: Leaf, given: Any) -> None:
    expected = leaf.spec.literal
    # By their text: NaN equals nothing, and -0.0 equals 0.0.
    same = repr(given) == repr(expected) if isinstance(expected, float | complex) else given == expected
    if type(given) is type(expected) and same:
        return
    raise InputError(
        f"`{leaf.path.label}` is {_described(given)}, the program was exported for {expected!r} "
        "and takes no other"
    )


_SCALAR_TYPES = {SymKind.INT: "an int", SymKind.FLOAT: "a float", SymKind.BOOL: "a bool"}


def _plain_scalar(given: Any) -> Any:
    return given.item() if isinstance(given, np.generic) else given


def _check_scalar(leaf: Leaf, type_: SymType, given: Any) -> None:
    value = _plain_scalar(given)
    fits = {
        SymKind.INT: isinstance(value, int) and not isinstance(value, bool),
        SymKind.FLOAT: isinstance(value, float),
        SymKind.BOOL: isinstance(value, bool),
    }[type_.kind]
    if not fits:
        wanted = _SCALAR_TYPES[type_.kind]
        raise InputError(f"`{leaf.path.label}` is {_described(given)}, the program takes {wanted}")
    if not isinstance(type_.value, Expr) and value != type_.value:
        raise InputError(f"`{leaf.path.label}` is {value}, the program was exported for {type_.value}")


def _described(given: Any) -> str:
    """A wrong value in few words."""
    if _is_tensor(given):
        return f"a tensor of {str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}"
    if given is None or isinstance(given, (bool, int, float, complex)):
        return f"{given!r}"
    if isinstance(given, str):
        return repr(given if len(given) <= 40 else given[:37] + "...")
    return f"a {type(given).__name__}"


def _tensor_text(type_: TensorType) -> str:
    return f"a tensor of {type_.dtype} {_sizes_text(type_.sizes)}"


def _sizes_text(sizes: Sequence[Dim]) -> str:
    """Sizes as Python writes them, `?` where the call decides."""
    shown = [str(size) if isinstance(size, int) else "?" for size in sizes]
    return f"({', '.join(shown)}{',' if len(shown) == 1 else ''})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else "none"
