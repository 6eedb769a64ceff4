"""Nodes as Python expressions: methods, operators and functions where these export as the very same call.

Any other node is `torch.ops.NAMESPACE.NAME.OVERLOAD(...)`, which is always exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from lowering.ir.dims import is_row_major
from lowering.ir.program import Arg, Graph, Node, Operator, Ref, leaves_of
from lowering.ir.symbols import Dim
from lowering.ir.types import CPU, TensorType, ValueType
from lowering.python.errors import NoSource
from lowering.python.expressions import (
    COMPARE,
    POSTFIX,
    POWER,
    SIGN,
    SUM,
    Expression,
    Part,
    argument,
    joined,
    quoted,
)
from lowering.python.identifiers import is_identifier
from lowering.python.tables import (
    FACTORIES,
    FUNCTIONS,
    INFIX,
    METHODS,
    NAMED,
    PYTHON,
    PYTHON_FUNCTIONS,
    TORCH,
)

Given = dict[str, Arg]
Types = Mapping[str, ValueType]
Speller = Callable[[Given, Types], "Expression | None"]

# The list that these take may be written as arguments of their own.
_SPREAD = {"view": "size", "reshape": "shape", "expand": "size", "permute": "dims"}
# Python gives these where the program has none.
_WANTED = {
    "aten.hardtanh.default": ("min_val", "max_val"),
    "aten.std.correction": ("correction",),
    "aten.var.correction": ("correction",),
}
# Python gives `pin_memory=False`.
_UNPINNED = frozenset(
    f"aten.{name}.default"
    for name in "full_like new_ones new_zeros ones_like rand_like randn_like zeros_like".split()
)
# A list of one number may be the number.
_ONE = frozenset(("aten.mean.dim", "aten.sum.dim_IntList"))
_LAST = 2**63 - 1


def spelled(node: Node, types: Types) -> Expression:
    """A node's expression; `types` has those of the values. Raises NoSource for what source cannot say."""
    for value in (item for a in node.args for item in leaves_of(a.value)):
        if isinstance(value, Graph | Operator):
            raise NoSource(f"{node.name}: {node.target} runs a graph")
    if node.target in PYTHON and len(node.args) == 2:
        mark, level = PYTHON[node.target]
        return _infix(node.args[0].value, mark, node.args[1].value, level)
    if node.target == "_operator.neg":
        return Expression(("-", *argument(node.args[0].value, level=SIGN)), SIGN)
    if node.target in PYTHON_FUNCTIONS:
        return _call(PYTHON_FUNCTIONS[node.target], joined(argument(a.value) for a in node.args))
    given = {a.name: a.value for a in node.args}
    if len(given) == len(node.args) and "" not in given:
        pretty = _pretty(node, given, types)
        if pretty is not None:
            return pretty
    return _exact(node)


def _exact(node: Node) -> Expression:
    parts = node.target.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isidentifier() for part in parts):
        raise NoSource(f"{node.name}: {node.target} has no call in Python")
    namespace, name, overload = parts
    # A keyword cannot follow a dot, and in a class no name that begins with two underscores.
    if all(map(is_identifier, parts)):
        callee = f"torch.ops.{namespace}.{name}.{overload}"
    else:
        callee = f"getattr(getattr(torch.ops.{namespace}, {quoted(name)}), {quoted(overload)})"
    return _call(callee, joined(_exact_arguments(node)))


def _exact_arguments(node: Node) -> Iterator[tuple[Part, ...]]:
    for item in node.args:
        if item.keyword and not is_identifier(item.name):
            raise NoSource(f"{node.name}: {item.name!r} is not a name of an argument")
        yield (f"{item.name}=" if item.keyword else "", *argument(item.value, item.name or "value"))


def _moved(given: Given, types: Types) -> Expression | None:
    """`x.to("cpu")`, which keeps the dtype."""
    subject = given.get("self")
    type_ = types.get(subject.name) if isinstance(subject, Ref) else None
    if not isinstance(type_, TensorType) or given.keys() != {"self", "dtype", "layout", "device"}:
        return None
    if (given["dtype"], given["layout"]) != (type_.dtype, type_.layout):
        return None
    return Expression((*argument(subject, level=POSTFIX), ".to(", *argument(given["device"]), ")"))


def _pretty(node: Node, given: Given, types: Types) -> Expression | None:
    target = node.target
    name = target.split(".")[1] if target.count(".") == 2 else ""
    if target in INFIX and given.keys() == _PAIR and isinstance(given["self"], Ref):
        mark, level = INFIX[target]
        return _infix(given["self"], mark, given["other" if "other" in given else "exponent"], level)
    if target in INFIX and given.keys() == _POWER and isinstance(given["self"], Ref):
        return _infix(given["self"], "**", given["exponent"], POWER)
    if target in _SPECIAL:
        return _SPECIAL[target](given, types)
    if any(a.keyword and not is_identifier(a.name) for a in node.args):
        return None
    if target in FACTORIES:
        if given.get("device") != CPU or given.get("pin_memory") is not False:
            return None
        return _call(f"torch.{name}", _arguments(node, {"device", "pin_memory"}))
    if target in _WANTED and any(given.get(item) is None for item in _WANTED[target]):
        return None
    drop = {"pin_memory"} if target in _UNPINNED else set()
    if drop and given.get("pin_memory") is not False:
        return None
    if target in METHODS and isinstance(given.get("self"), Ref) and node.args[0].name == "self":
        spread = _SPREAD.get(name)
        if spread is not None and given.keys() == {"self", spread}:
            size = given[spread]
            if not isinstance(size, tuple) or not size:
                return None
            arguments = joined(argument(item, spread) for item in size)
        else:
            arguments = _arguments(node, {"self", *drop})
        return Expression((*argument(given["self"], level=POSTFIX), f".{name}(", *arguments, ")"))
    if target in TORCH:
        return _call(f"torch.{name}", _arguments(node, drop))
    if target in FUNCTIONS:
        return _call(f"F.{name}", _arguments(node, drop))
    return None


_PAIR = {"self", "other"}
_POWER = {"self", "exponent"}


def _arguments(node: Node, drop: set[str]) -> tuple[Part, ...]:
    """Arguments by position as long as they read well so, then by name."""
    named = False
    items: list[tuple[Part, ...]] = []
    for item in node.args:
        if item.name in drop:
            continue
        value = item.value
        named |= item.keyword or item.name in NAMED or isinstance(value, bool)
        if node.target in _ONE and item.name == "dim" and isinstance(value, tuple) and len(value) == 1:
            value = value[0]
        items.append((f"{item.name}=" if named else "", *argument(value, item.name)))
    return joined(items)


def _call(callee: str, arguments: tuple[Part, ...]) -> Expression:
    return Expression((f"{callee}(", *arguments, ")"))


def _infix(left: Arg, mark: str, right: Arg, level: int) -> Expression:
    # Comparisons do not chain, and a power binds from the right.
    first = level + 1 if level in (COMPARE, POWER) else level
    parts = (*argument(left, level=first), f" {mark} ", *argument(right, level=level + 1))
    return Expression(parts, level)


def _prefix(mark: str) -> Speller:
    def spell(given: Given, types: Types) -> Expression | None:
        if given.keys() != {"self"}:
            return None
        return Expression((mark, *argument(given["self"], level=SIGN)), SIGN)

    return spell


def _from_right(given: Given, types: Types) -> Expression | None:
    """`1 - x`."""
    if given.keys() != _PAIR or isinstance(given["other"], Ref):
        return None
    return _infix(given["other"], "-", given["self"], SUM)


def _named(callee: str, *places: str | None, **names: str) -> Speller:
    """A function of Python that takes the arguments in these places, then others by these names."""

    def spell(given: Given, types: Types) -> Expression | None:
        if any(name not in (*places, *names, *_FROM_PROCESS) for name in given):
            return None
        items = [argument(given.get(place), place) for place in places if place is not None]
        items += [
            (f"{theirs}=", *argument(given[ours], ours)) for ours, theirs in names.items() if ours in given
        ]
        return _call(callee, joined(items))

    return spell


# Flags that torch takes from the process, not from the model.
_FROM_PROCESS = ("cudnn_enable", "cudnn_enabled")


def _embedding(given: Given, types: Types) -> Expression | None:
    padding = given.get("padding_idx", 0)
    if not isinstance(padding, int) or padding < 0:
        return None
    return _named(
        "F.embedding",
        "indices",
        "weight",
        padding_idx="padding_idx",
        scale_grad_by_freq="scale_grad_by_freq",
        sparse="sparse",
    )(given, types)


def _index(given: Given, types: Types) -> Expression | None:
    """`x[:, i, j]`."""
    indices = given.get("indices")
    if given.keys() != {"self", "indices"} or not isinstance(indices, tuple) or not indices:
        return None
    if not all(item is None or _rank(item, types) for item in indices) or indices[-1] is None:
        return None
    whole = [i for i, item in enumerate(indices) if item is None]
    if not _are_static(tuple(_sizes(given, types)[i] for i in whole if i < len(_sizes(given, types)))):
        return None
    items = joined((":",) if item is None else argument(item) for item in indices)
    return Expression((*argument(given["self"], level=POSTFIX), "[", *items, "]"))


def _slice(given: Given, types: Types) -> Expression | None:
    """`x[:, 2:5]`."""
    dim, start, end = given.get("dim", 0), given.get("start"), given.get("end")
    sizes = _sizes(given, types)
    if given.get("step", 1) != 1 or type(dim) is not int or not 0 <= dim < len(sizes):
        return None
    if isinstance(end, Ref):
        # An absent start stays absent beside a computed end.
        left = () if start is None else argument(start, "start")
    elif type(start) is int and _are_static(sizes[:dim]) and (start, end) != (0, sizes[dim]):
        left = () if start == 0 else argument(start, "start")
    else:
        return None
    right = () if end == _LAST else argument(end, "end")
    if not (left or right):
        return None
    self = argument(given["self"], level=POSTFIX)
    return Expression((*self, "[" + ":, " * dim, *left, ":", *right, "]"))


def _rank(value: Arg, types: Types) -> int:
    """The rank of a tensor. An index of rank 0 is a number to Python; so is anything that is not a tensor."""
    type_ = types.get(value.name) if isinstance(value, Ref) else None
    return type_.rank if isinstance(type_, TensorType) else 0


def _contiguous(given: Given, types: Types) -> Expression | None:
    """`x.contiguous()`, which Python does not call on a tensor that is contiguous."""
    subject = given.get("self")
    type_ = types.get(subject.name) if isinstance(subject, Ref) else None
    if given.keys() != {"self"} or not isinstance(type_, TensorType) or is_row_major(type_) is not False:
        return None
    return Expression((*argument(subject, level=POSTFIX), ".contiguous()"))


def _elu(given: Given, types: Types) -> Expression | None:
    return _named("F.elu", "self", alpha="alpha")(given, types) if "alpha" in given else None


def _einsum(given: Given, types: Types) -> Expression | None:
    """`torch.einsum`, which chooses a path for more than two tensors."""
    tensors = given.get("tensors")
    if given.keys() != {"equation", "tensors"} or not isinstance(tensors, tuple) or len(tensors) > 2:
        return None
    return _named("torch.einsum", "equation", "tensors")(given, types)


def _sizes(given: Given, types: Types) -> tuple[Dim, ...]:
    """The sizes of the tensor that is indexed; Python slices whole axes too where these are computed."""
    subject = given.get("self")
    type_ = types.get(subject.name) if isinstance(subject, Ref) else None
    return type_.sizes if isinstance(type_, TensorType) else ()


def _are_static(sizes: tuple[Dim, ...]) -> bool:
    return all(isinstance(size, int) for size in sizes)


def _select(given: Given, types: Types) -> Expression | None:
    """`x[:, 0]`."""
    dim = given["dim"]
    if type(dim) is not int or not 0 <= dim < 8 or not _are_static(_sizes(given, types)[:dim]):
        return None
    self = argument(given["self"], level=POSTFIX)
    return Expression((*self, "[" + ":, " * dim, *argument(given["index"], "index"), "]"))


def _size(given: Given, types: Types) -> Expression | None:
    if not isinstance(given.get("self"), Ref) or given.keys() != {"self", "dim"}:
        return None
    return Expression((*argument(given["self"], level=POSTFIX), ".shape[", *argument(given["dim"]), "]"))


def _matrix_transposed(given: Given, types: Types) -> Expression:
    return Expression((*argument(given["self"], level=POSTFIX), ".mT"))


def _range_by_step(given: Given, types: Types) -> Expression | None:
    """`torch.arange(0, 4, 1)`, which without its step is another overload."""
    if given.get("device") != CPU or given.get("pin_memory") is not False:
        return None
    rest = {name: value for name, value in given.items() if name not in ("device", "pin_memory")}
    spell = _named("torch.arange", "start", "end", "step", dtype="dtype", layout="layout")
    return spell({"step": 1, **rest}, types)


_SPECIAL: dict[str, Speller] = {
    "aten.arange.start_step": _range_by_step,
    "aten.neg.default": _prefix("-"),
    "aten.bitwise_not.default": _prefix("~"),
    "aten.rsub.Scalar": _from_right,
    "aten.log_sigmoid.default": _named("F.logsigmoid", "self"),
    "aten.embedding.default": _embedding,
    "aten.index.Tensor": _index,
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten.sym_size.int": _size,
    "aten.to.dtype_layout": _moved,
    "aten.contiguous.default": _contiguous,
    "aten.einsum.default": _einsum,
    "aten.elu.default": _elu,
    "aten.mT.default": _matrix_transposed,
    "aten.group_norm.default": _named(
        "F.group_norm", "input", "num_groups", weight="weight", bias="bias", eps="eps"
    ),
    "aten.layer_norm.default": _named(
        "F.layer_norm", "input", "normalized_shape", weight="weight", bias="bias", eps="eps"
    ),
    "aten.batch_norm.default": _named(
        "F.batch_norm",
        "input",
        "running_mean",
        "running_var",
        weight="weight",
        bias="bias",
        training="training",
        momentum="momentum",
        eps="eps",
    ),
    "aten.dropout.default": _named("F.dropout", "input", "p", train="training"),
}
