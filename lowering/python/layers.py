"""Modules of torch.nn that a call of one operator shows: `nn.Linear`, `nn.Conv2d`, `nn.LayerNorm`, ..."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from lowering.ir.aten import SchemaError, schema
from lowering.ir.program import Arg, InputKind, Node, Ref
from lowering.ir.types import CPU, DType, TensorType, contiguous_strides
from lowering.python.calls import Module, Weight
from lowering.python.expressions import Number, literal

# Name, value, default. A setting without a default stands by position.
Setting = tuple[str, Any, Any]
POSITIONAL: Any = object()


@dataclass(frozen=True, slots=True)
class Layer:
    """How to make a module of torch.nn. `settings`: its arguments, in order; `suffix`: a call on it."""

    callee: str
    settings: tuple[Setting, ...] = ()
    suffix: str = ""

    @property
    def has_modes(self) -> bool:
        """Whether it does something else in training."""
        return self.callee.startswith(("nn.Dropout", "nn.BatchNorm", "nn.LSTM", "nn.GRU"))

    def numbers(self) -> tuple[Number, ...]:
        """The settings that are numbers, those at their default included."""
        return tuple(Number(name, value) for name, value, _ in self.settings if _is_number(value))

    def key(self) -> Hashable:
        """Equal for layers that are the same but for numbers."""
        settings = tuple(
            (name, None if _is_number(value) else (value,), default) for name, value, default in self.settings
        )
        return self.callee, settings, self.suffix

    def text(self, says: Callable[[int], str | None]) -> str:
        """The call. `says` has the name of a number, by its place; None: the number itself."""
        items: list[str] = []
        place = 0
        for name, value, default in self.settings:
            said = None
            if _is_number(value):
                said, place = says(place), place + 1
            if said is None and default is not POSITIONAL and _same(value, default):
                continue
            text = literal(value) if said is None else said
            items.append(text if default is POSITIONAL else f"{name}={text}")
        return f"{self.callee}({', '.join(items)}){self.suffix}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | tuple) and not isinstance(value, bool)


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


Bound = dict[str, Arg]
Shapes = dict[str, tuple[int, ...]]
# The arguments of a call and the sizes of its weights; settings, and the sizes that these give the weights.
Reading = Callable[[Bound, Shapes, int], "tuple[str, Sequence[Setting], Shapes] | None"]


@dataclass(frozen=True, slots=True)
class _Rule:
    # The argument that goes through; the module's weights by argument; weights that no argument is.
    input: str
    read: Reading
    weights: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()


def layer_of(module: Module, types: Callable[[str], TensorType | None]) -> Layer | None:
    """The layer that every call of this module shows, or None. `types` knows the values' types."""
    found: set[Layer] = set()
    for call in module.calls:
        if len(call.items) != 1 or not isinstance(call.items[0], Node) or len(call.results) != 1:
            return None
        layer = _shown(call.items[0], module, types)
        if layer is None:
            return None
        found.add(layer)
    return found.pop() if len(found) == 1 and not module.children else None


def _shown(node: Node, module: Module, types: Callable[[str], TensorType | None]) -> Layer | None:
    rule, operator = _RULES.get(node.target), schema(node.target)
    if rule is None or operator is None:
        return None
    try:
        bound = operator.bind(node.args)
    except SchemaError:
        return None
    own = {weight.name: weight for weight in module.weights}
    through = bound[rule.input]
    if not isinstance(through, Ref) or through.name in {w.value for w in module.weights}:
        return None
    used: set[str] = set()
    for argument, name in rule.weights:
        value = bound[argument]
        if value is None and name not in own:
            continue
        if not isinstance(value, Ref) or name not in own or own[name].value != value.name:
            return None
        used.add(name)
    if own.keys() - used - set(rule.extra):
        return None
    named = {name for name, _ in rule.weights} | {"input"}
    rest = {name for name, value in bound.items() if isinstance(value, Ref)} - {rule.input}
    if rest - {argument for argument, _ in rule.weights} or not named:
        return None
    shapes = {name: weight.type.sizes for name, weight in own.items()}
    if not all(is_plain(weight) for weight in own.values()):
        return None
    type_ = types(through.name)
    read = rule.read(bound, shapes, -1 if type_ is None else type_.rank)  # pyright: ignore[reportArgumentType]
    if read is None or read[2] != shapes:
        return None
    return with_dtype(read[0], read[1], own)


def is_plain(weight: Weight) -> bool:
    """Whether torch.nn makes weights like this one, but for the dtype."""
    type_ = weight.type
    return (
        type_.is_static
        and type_.offset == 0
        and type_.device == CPU
        and type_.strides == contiguous_strides(type_.sizes)  # pyright: ignore[reportArgumentType]
        and weight.persistent
        and weight.kind is (InputKind.BUFFER if weight.name in _BUFFERS else InputKind.PARAMETER)
    )


_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def with_dtype(callee: str, settings: Sequence[Setting], own: dict[str, Weight]) -> Layer | None:
    floating = {w.type.dtype for name, w in own.items() if name != "num_batches_tracked"}
    grads = {w.type.requires_grad for w in own.values() if w.kind is InputKind.PARAMETER}
    counted = own.get("num_batches_tracked")
    if len(floating) > 1 or len(grads) > 1 or (counted and counted.type.dtype is not DType.INT64):
        return None
    if floating - {DType.FLOAT32}:
        dtype = floating.pop()
        if not dtype.is_floating:
            return None
        settings = [*settings, ("dtype", dtype, None)]
    return Layer(callee, tuple(settings), ".requires_grad_(False)" if grads == {False} else "")


def _optional(shapes: Shapes, name: str, size: tuple[int, ...]) -> Shapes:
    return {name: size} if name in shapes else {}


def _at(name: str, value: Any) -> Setting:
    return (name, value, POSITIONAL)


def _linear(bound: Bound, shapes: Shapes, rank: int) -> Any:
    if len(shapes.get("weight", ())) != 2:
        return None
    out, width = shapes["weight"]
    settings = [_at("in_features", width), _at("out_features", out), ("bias", "bias" in shapes, True)]
    return "nn.Linear", settings, {"weight": (out, width), **_optional(shapes, "bias", (out,))}


def _embedding(bound: Bound, shapes: Shapes, rank: int) -> Any:
    if len(shapes.get("weight", ())) != 2:
        return None
    count, width = shapes["weight"]
    padding = bound["padding_idx"]
    if not isinstance(padding, int) or not -1 <= padding < count:
        return None
    settings = [
        _at("num_embeddings", count),
        _at("embedding_dim", width),
        ("padding_idx", None if padding == -1 else padding, None),
        ("scale_grad_by_freq", bound["scale_grad_by_freq"], False),
        ("sparse", bound["sparse"], False),
    ]
    return "nn.Embedding", settings, {"weight": (count, width)}


def _layer_norm(bound: Bound, shapes: Shapes, rank: int) -> Any:
    size = bound["normalized_shape"]
    if not _integers(size) or ("bias" in shapes and "weight" not in shapes):
        return None
    settings = [
        _at("normalized_shape", size[0] if len(size) == 1 else size),  # pyright: ignore
        ("eps", bound["eps"], 1e-5),
        ("elementwise_affine", "weight" in shapes, True),
        ("bias", "bias" in shapes or "weight" not in shapes, True),
    ]
    weights = {**_optional(shapes, "weight", size), **_optional(shapes, "bias", size)}  # pyright: ignore
    return "nn.LayerNorm", settings, weights


def _group_norm(bound: Bound, shapes: Shapes, rank: int) -> Any:
    if len(shapes.get("weight", ())) != 1 or "bias" not in shapes:
        return None
    (channels,) = shapes["weight"]
    settings = [
        _at("num_groups", bound["num_groups"]),
        _at("num_channels", channels),
        ("eps", bound["eps"], 1e-5),
    ]
    return "nn.GroupNorm", settings, {"weight": (channels,), "bias": (channels,)}


def _batch_norm(bound: Bound, shapes: Shapes, rank: int) -> Any:
    if bound["training"] is not False or len(shapes.get("running_mean", ())) != 1:
        return None
    dimensions = {2: 1, 3: 1, 4: 2, 5: 3}.get(rank)
    if dimensions is None or ("weight" in shapes) != ("bias" in shapes):
        return None
    size = shapes["running_mean"]
    settings = [
        _at("num_features", size[0]),
        ("eps", bound["eps"], 1e-5),
        ("momentum", bound["momentum"], 0.1),
        ("affine", "weight" in shapes, True),
    ]
    weights = {"running_mean": size, "running_var": size, "num_batches_tracked": ()}
    weights |= {**_optional(shapes, "weight", size), **_optional(shapes, "bias", size)}
    return f"nn.BatchNorm{dimensions}d", settings, weights


def _convolution(dimensions: int) -> Reading:
    def read(bound: Bound, shapes: Shapes, rank: int) -> Any:
        weight = shapes.get("weight", ())
        groups = bound["groups"]
        if len(weight) != dimensions + 2 or type(groups) is not int or groups < 1:
            return None
        out, width, kernel = weight[0], weight[1] * groups, weight[2:]
        places = {name: _all_axes(bound[name], dimensions) for name in ("stride", "padding", "dilation")}
        if any(value is None for value in places.values()) or out % groups:
            return None
        settings = [
            _at("in_channels", width),
            _at("out_channels", out),
            _at("kernel_size", _one(kernel)),
            ("stride", places["stride"], 1),
            ("padding", places["padding"], 0),
            ("dilation", places["dilation"], 1),
            ("groups", groups, 1),
            ("bias", "bias" in shapes, True),
        ]
        return f"nn.Conv{dimensions}d", settings, {"weight": weight, **_optional(shapes, "bias", (out,))}

    return read


def _integers(value: Arg) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(item) is int for item in value)


def _all_axes(value: Arg, dimensions: int) -> int | tuple[int, ...] | None:
    """A number per axis, or one for all where they are equal."""
    if not _integers(value) or len(value) not in (1, dimensions):  # pyright: ignore[reportArgumentType]
        return None
    return _one(value)  # pyright: ignore[reportArgumentType]


def _one(value: tuple[int, ...]) -> int | tuple[int, ...]:
    return value[0] if len(set(value)) == 1 else value


def _dropout(bound: Bound, shapes: Shapes, rank: int) -> Any:
    p = bound["p"]
    if bound["train"] is not False or not isinstance(p, int | float) or not 0 <= p <= 1:
        return None
    return "nn.Dropout", [_at("p", p)], {}


def _max_pool(bound: Bound, shapes: Shapes, rank: int) -> Any:
    names = ("kernel_size", "padding", "dilation")
    values = {name: _all_axes(bound[name], 2) for name in names}
    stride = bound["stride"]
    if any(value is None for value in values.values()) or not _integers(stride):
        return None
    settings = [
        _at("kernel_size", values["kernel_size"]),
        ("stride", _one(stride), values["kernel_size"]),  # pyright: ignore[reportArgumentType]
        ("padding", values["padding"], 0),
        ("dilation", values["dilation"], 1),
        ("ceil_mode", bound["ceil_mode"], False),
    ]
    return "nn.MaxPool2d", settings, {}


def _adaptive(bound: Bound, shapes: Shapes, rank: int) -> Any:
    size = _all_axes(bound["output_size"], 2)
    return None if size is None else ("nn.AdaptiveAvgPool2d", [_at("output_size", size)], {})


def _flatten(bound: Bound, shapes: Shapes, rank: int) -> Any:
    settings = [("start_dim", bound["start_dim"], 1), ("end_dim", bound["end_dim"], -1)]
    return "nn.Flatten", settings, {}


def _softmax(bound: Bound, shapes: Shapes, rank: int) -> Any:
    return None if bound["dtype"] is not None else ("nn.Softmax", [("dim", bound["dim"], None)], {})


def _plain_call(callee: str, *settings: tuple[str, Any]) -> Reading:
    """A layer whose settings are arguments of the operator, by the same names."""

    def read(bound: Bound, shapes: Shapes, rank: int) -> Any:
        return callee, [(name, bound[name], default) for name, default in settings], {}

    return read


_AFFINE = (("weight", "weight"), ("bias", "bias"))
_RULES: dict[str, _Rule] = {
    "aten.linear.default": _Rule("input", _linear, _AFFINE),
    "aten.embedding.default": _Rule("indices", _embedding, (("weight", "weight"),)),
    "aten.layer_norm.default": _Rule("input", _layer_norm, _AFFINE),
    "aten.group_norm.default": _Rule("input", _group_norm, _AFFINE),
    "aten.batch_norm.default": _Rule(
        "input",
        _batch_norm,
        (*_AFFINE, ("running_mean", "running_mean"), ("running_var", "running_var")),
        ("num_batches_tracked",),
    ),
    **{f"aten.conv{n}d.default": _Rule("input", _convolution(n), _AFFINE) for n in (1, 2, 3)},
    "aten.dropout.default": _Rule("input", _dropout),
    "aten.max_pool2d.default": _Rule("self", _max_pool),
    "aten.adaptive_avg_pool2d.default": _Rule("self", _adaptive),
    "aten.flatten.using_ints": _Rule("self", _flatten),
    "aten.softmax.int": _Rule("self", _softmax),
    "aten.gelu.default": _Rule("self", _plain_call("nn.GELU", ("approximate", "none"))),
    **{
        f"aten.{name}.default": _Rule("self", _plain_call(f"nn.{callee}"))
        for name, callee in (
            ("relu", "ReLU"),
            ("silu", "SiLU"),
            ("tanh", "Tanh"),
            ("sigmoid", "Sigmoid"),
            ("hardswish", "Hardswish"),
            ("hardsigmoid", "Hardsigmoid"),
            ("mish", "Mish"),
        )
    },
}
