"""Hostile calls: what an operator takes, changed in a few places to what it must refuse or survive."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch

from lowering.ir.aten import REQUIRED, OpSchema, Parameter
from tests.fuzz.calls import Call

_LEAST, _GREATEST = -(1 << 63), (1 << 63) - 1
_INTEGERS = (0, 1, -1, 2, 3, 7, 64, -2, -7, 1000, 1 << 20, 1 << 31, -(1 << 31) - 1, 10**12, 1 << 62)
_EXTREMES = (_LEAST, _GREATEST, _LEAST + 1, -(1 << 62))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 1e308, -1e308, float("inf"), -float("inf"), float("nan"))
_SIZES = (0, 1, 1, 2, 2, 3, 4, 5, 8, 17)
_DTYPES = (
    *(torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32),
    *(torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128),
)
_WORDS = (
    "",
    "sum",
    "mean",
    "none",
    "tanh",
    "reflect",
    "linear",
    "ij",
    "amax",
    "prod",
    "left",
    "ab,bc->ac",
    "%s",
)
# How many of a call's arguments are changed, and how often a call is drawn from the schema alone.
_CHANGES = (0, 1, 1, 1, 2, 2, 3, 4)
_FROM_SCHEMA = 0.25

# Parameters of arguments that are a number of things each, so that greater ones are no test of memory.
Arguments = dict[str, Any]


def draw(schema: OpSchema, calls: Sequence[Call], seed: str) -> Arguments:
    """Arguments by name, the same for the same seed."""
    rng = random.Random(seed)
    if not calls or rng.random() < _FROM_SCHEMA:
        given = _from_schema(schema, rng)
    else:
        args, kwargs = rng.choice(calls)
        names = [parameter.name for parameter in schema.parameters]
        given = {**dict(zip(names, copied(args), strict=False)), **copied(kwargs)}
        given |= results(schema, given, rng)
    for _ in range(rng.choice(_CHANGES)):
        parameter = _chosen(schema, given, rng)
        if parameter is not None and (parameter.name in given or rng.random() < 0.3):
            given[parameter.name] = _changed(parameter, given, rng)
    return given


def _chosen(schema: OpSchema, given: Arguments, rng: random.Random) -> Parameter | None:
    """An argument to change: indices, which kernels follow, more often than others."""
    indices = [p for p in schema.parameters if _is_index(given.get(p.name))]
    return rng.choice(indices if indices and rng.random() < 0.4 else schema.parameters or [None])


def _is_index(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.int64, torch.int32)


def results(schema: OpSchema, given: Arguments, rng: random.Random) -> Arguments:
    """What a call writes its results to, where it is not given: mostly something empty of a fitting dtype."""
    first = next((x.dtype for x in given.values() if isinstance(x, torch.Tensor)), torch.float32)
    return {
        p.name: torch.zeros(0, dtype=first) if rng.random() < 0.8 else _value(p.type, rng, _shape(rng), first)
        for p in schema.parameters
        if p.writes and p.default is REQUIRED and p.name not in given and p.type == "Tensor"
    }


def copied(value: Any) -> Any:
    """A deep copy that keeps strides."""
    if isinstance(value, torch.Tensor):
        whole = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
        return value.clone() if _overlaps(whole) else whole.copy_(value)
    if isinstance(value, (list, tuple)):
        return [copied(item) for item in value]
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    return value


def _from_schema(schema: OpSchema, rng: random.Random) -> Arguments:
    """An argument of the declared type for each parameter; most of the optional ones are left out."""
    shape, dtype = _shape(rng), rng.choice(_DTYPES)
    return {
        parameter.name: _value(parameter.type, rng, shape, dtype)
        for parameter in schema.parameters
        if parameter.default is REQUIRED or rng.random() < 0.3
    }


def _shape(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choice(_SIZES) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 4, 5))))


def _value(kind: str, rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    """A value of torch's type `kind`; its tensors mostly have this shape and dtype."""
    if kind.endswith("?"):
        return None if rng.random() < 0.3 else _value(kind[:-1], rng, shape, dtype)
    if "[" in kind:
        inner, _, rest = kind.partition("[") if not kind.endswith("[]") else (kind[:-2], "", "")
        wanted = rest.rstrip("]?")
        usual = int(wanted) if wanted.isdigit() else len(shape) if inner in ("int", "SymInt") else 2
        count = usual if rng.random() < 0.6 else rng.choice((0, 1, 2, 3, 4, 7))
        return [_value(inner, rng, shape, dtype) for _ in range(count)]
    match kind:
        case "Tensor":
            own = shape if rng.random() < 0.6 else _shape(rng)
            return _tensor(own, dtype if rng.random() < 0.6 else rng.choice(_DTYPES), rng)
        case "int" | "SymInt":
            return _integer(rng)
        case "float" | "SymFloat":
            return rng.choice(_FLOATS)
        case "Scalar" | "number":
            return rng.choice((_integer(rng), rng.choice(_FLOATS), True, 1 + 2j))
        case "bool" | "SymBool":
            return rng.random() < 0.5
        case "str":
            return rng.choice(_WORDS)
        case "ScalarType":
            return rng.choice(_DTYPES)
        case "Device":
            return torch.device("cpu")
        case "Layout":
            return torch.strided
        case "MemoryFormat":
            return rng.choice((torch.contiguous_format, torch.channels_last, torch.preserve_format))
    return None


def _integer(rng: random.Random) -> int:
    where = rng.random()
    return rng.choice(_INTEGERS[:4]) if where < 0.4 else rng.choice(_INTEGERS if where < 0.8 else _EXTREMES)


def _tensor(shape: Sequence[int], dtype: torch.dtype, rng: random.Random) -> torch.Tensor:
    """A tensor of ordinary elements, or of extreme ones, or of few, laid out in one of several ways."""
    count = 1
    for size in shape:
        count *= size
    if count > 1 << 16:
        return torch.zeros((), dtype=dtype).expand(shape)
    made = _laid_out(tuple(shape), dtype, rng)
    if not _overlaps(made):
        _fill(made, rng)
    return made


def _overlaps(tensor: torch.Tensor) -> bool:
    """Whether some elements surely share memory, so that nothing is written to them."""
    return torch._debug_has_internal_overlap(tensor) == 1  # pyright: ignore[reportPrivateImportUsage]


def _laid_out(shape: tuple[int, ...], dtype: torch.dtype, rng: random.Random) -> torch.Tensor:
    where = rng.random()
    if where < 0.7 or not shape:
        return torch.zeros(shape, dtype=dtype)
    if where < 0.8:
        return torch.zeros(shape[::-1], dtype=dtype).permute(*range(len(shape) - 1, -1, -1))
    if where < 0.9:
        return torch.zeros((*shape[:-1], 2 * shape[-1]), dtype=dtype)[..., ::2]
    return torch.zeros((1,) * len(shape), dtype=dtype).expand(shape)


def _fill(tensor: torch.Tensor, rng: random.Random) -> None:
    where, dtype = rng.random(), tensor.dtype
    if dtype is torch.bool or where < 0.15:
        return
    if dtype.is_floating_point or dtype.is_complex:
        kinds = (
            [1.0, 0.5, -3.0] if where < 0.6 else [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 0.0]
        )
    else:
        least, most = torch.iinfo(dtype).min, torch.iinfo(dtype).max
        kinds = [0, 1, 2, 3] if where < 0.5 else [least, most, -1 if least else most, 1000 % most, 0]
    if where > 0.9:
        kinds = kinds[:1]
    flat = [rng.choice(kinds) for _ in range(tensor.numel())]
    tensor.copy_(
        torch.tensor(
            flat, dtype=torch.float64 if isinstance(flat and flat[0], float) else torch.int64
        ).reshape(tensor.shape)
    )


def _changed(parameter: Parameter, given: Arguments, rng: random.Random) -> Any:
    """Another value for an argument: near the one that it had, or any of its type."""
    value = given.get(parameter.name)
    if isinstance(value, torch.Tensor) and rng.random() < 0.85:
        return _other_tensor(value, given, rng)
    if isinstance(value, list) and value and rng.random() < 0.85:
        return _other_list(parameter, value, given, rng)
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 2, -2, 100))
    return _value(parameter.type, rng, _shape(rng), rng.choice(_DTYPES))


def _other_list(parameter: Parameter, value: list[Any], given: Arguments, rng: random.Random) -> list[Any]:
    place, where = rng.randrange(len(value)), rng.random()
    if where < 0.15:
        return value[:place]
    if where < 0.3:
        return [*value, value[place]]
    item = value[place]
    inner = parameter.type.partition("[")[0]
    new = (
        _other_tensor(item, given, rng)
        if isinstance(item, torch.Tensor)
        else _value(inner, rng, _shape(rng), torch.float32)
    )
    return [*value[:place], new, *value[place + 1 :]]


def _other_tensor(value: torch.Tensor, given: Arguments, rng: random.Random) -> torch.Tensor:
    shape, dtype = list(value.shape), value.dtype
    kind = rng.randrange(11)
    if kind <= 2 and shape:  # another size
        place = rng.randrange(len(shape))
        shape[place] = rng.choice((0, 1, shape[place] + 1, max(shape[place] - 1, 0), 2 * shape[place], 33))
    elif kind == 3 and shape:  # an axis less
        del shape[rng.randrange(len(shape))]
    elif kind == 4:  # an axis more
        shape.insert(rng.randrange(len(shape) + 1), rng.choice(_SIZES))
    elif kind == 5:
        return _tensor(shape, rng.choice(_DTYPES), rng)
    elif kind <= 8:  # other elements
        same = value.clone()
        _fill(same, rng)
        return same
    elif kind == 9 and value.dim():  # the same memory as another argument's, or as its own elsewhere
        others = [x for x in given.values() if isinstance(x, torch.Tensor) and x.dim()]
        other = rng.choice(others or [value])
        return other[: max(1, other.shape[0] - 1)] if rng.random() < 0.5 else other
    elif kind == 10 and value.dim():
        return value[:1].expand(value.shape) if value.shape[0] else value.transpose(0, -1)
    return _tensor(shape, dtype, rng)
