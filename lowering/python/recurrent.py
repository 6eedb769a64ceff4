"""Recurrent layers of torch.nn: `nn.LSTM` and `nn.GRU`, which begin with zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lowering.ir.aten import SchemaError, schema
from lowering.ir.program import Arg, Node, Output, Ref
from lowering.ir.types import CPU, TensorType
from lowering.python.calls import Call, Module
from lowering.python.layers import POSITIONAL, Layer, Setting, is_plain, with_dtype

Types = Callable[[str], TensorType | None]

# By operator: the layer, its gates, and how many states it has.
_LAYERS = {"aten.lstm.input": ("nn.LSTM", 4, 2), "aten.gru.input": ("nn.GRU", 3, 1)}


def recurrent_layer(module: Module, types: Types) -> Layer | None:
    """The recurrent layer that every call of this module shows, or None.

    Each call is then told how the layer gives its results.
    """
    found = {_shown(call, types) for call in module.calls}
    layer = found.pop() if len(found) == 1 and not module.children else None
    if layer is not None:
        for call in module.calls:
            call.outputs = _outputs(call)
    return layer


def _shown(call: Call, types: Types) -> Layer | None:
    *before, node = call.items or [None]
    if not isinstance(node, Node) or node.target not in _LAYERS:
        return None
    callee, gates, states = _LAYERS[node.target]
    operator = schema(node.target)
    try:
        bound = {} if operator is None else operator.bind(node.args)
    except SchemaError:
        return None
    through = bound.get("input")
    type_ = types(through.name) if isinstance(through, Ref) else None
    hx, count, both = bound.get("hx"), bound.get("num_layers"), bound.get("bidirectional")
    if type_ is None or type_.rank != 3 or type(count) is not int or not isinstance(both, bool):
        return None
    settings = _settings(call.module, bound, gates, count, 1 + both)
    if settings is None or bound["train"] is not False:
        return None
    batch = type_.sizes[0 if bound["batch_first"] is True else 1]
    if not isinstance(batch, int):
        return None
    state = (count * (1 + both), batch, settings[1][1])
    given = hx if isinstance(hx, tuple) else (hx,)
    made = [_zeros(item, state, type_) for item in before]
    if len(made) != states or None in made or [_name(item) for item in given] != made:
        return None
    return with_dtype(callee, settings, {weight.name: weight for weight in call.module.weights})


def _settings(
    module: Module, bound: dict[str, Arg], gates: int, count: int, directions: int
) -> list[Setting] | None:
    """The settings of the layer, if its weights are the module's own and of its sizes."""
    biases = bound["has_biases"] is True
    names = list(_names(count, directions, biases))
    own = {weight.name: weight for weight in module.weights}
    given = bound["params"]
    if list(own) != names or not isinstance(given, tuple) or not all(map(is_plain, own.values())):
        return None
    if [_name(item) for item in given] != [own[name].value for name in names]:
        return None
    first = own["weight_ih_l0"].type.sizes
    inner = own["weight_hh_l0"].type.sizes
    if len(first) != 2 or len(inner) != 2:
        return None
    width, hidden = first[1], inner[1]
    if not isinstance(width, int) or not isinstance(hidden, int):
        return None
    for name in names:
        read = width if name.startswith("weight_ih_l0") else hidden * directions
        columns = {"weight_ih": (read,), "weight_hh": (hidden,)}.get(name[:9], ())
        if own[name].type.sizes != (gates * hidden, *columns):
            return None
    return [
        ("input_size", width, POSITIONAL),
        ("hidden_size", hidden, POSITIONAL),
        ("num_layers", count, 1),
        ("bias", biases, True),
        ("batch_first", bound["batch_first"], False),
        ("dropout", bound["dropout"], 0.0),
        ("bidirectional", directions == 2, False),
    ]


def _names(count: int, directions: int, biases: bool) -> Iterator[str]:
    """The layer's weights in the order in which it makes and passes them."""
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if biases else ()))
    for layer in range(min(count, 1000)):
        for suffix in ("", "_reverse")[:directions]:
            yield from (f"{kind}_l{layer}{suffix}" for kind in kinds)


def _zeros(item: object, sizes: tuple[Arg, ...], like: TensorType) -> str | None:
    """The name of a state of zeros like an input, if a node makes it as the layer does."""
    if not isinstance(item, Node) or item.target != "aten.zeros.default":
        return None
    wanted = {"size": sizes, "dtype": like.dtype, "device": CPU, "pin_memory": False}
    if {a.name: a.value for a in item.args} != wanted or like.device != CPU:
        return None
    return item.outputs[0] if isinstance(item.outputs[0], str) else None


def _name(value: Arg) -> str | None:
    return value.name if isinstance(value, Ref) else None


def _outputs(call: Call) -> tuple[Output, ...]:
    """The results as the layer gives them: the sequence, and the last state or states."""
    node = call.items[-1]
    results = node.outputs if isinstance(node, Node) else ()
    used = [item if isinstance(item, str) and item in call.results else None for item in results]
    return (used[0], tuple(used[1:])) if len(used) == 3 else tuple(used)
