"""How a `.pt2` file, a JSON document and bytes are damaged, from a seed."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from lowering.ir.aten import schema, targets

STRANGE: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 7, 64, 10**6, 2**31, 2**62, 2**63 - 1, -(2**63), 10**30, 0.0, -0.5, 1e308,
    "", "x", "../x", "\ud800", "NaN", [], [None], [0], [[]], {}, {"as_int": 3}, {"as_none": True},
    {"as_ints": [1, -1]}, {"as_float": "Infinity"}, {"as_bool": True}, {"as_string": "mean"},
    {"as_tensors": []}, {"as_tensor": {"name": "x"}}, {"as_sym_int": {"as_name": "s0"}},
    {"as_scalar_type": 7}, {"as_device": {"type": "cuda", "index": 0}}, {"as_floats": [0.5]},
    {"as_optional_tensors": [{"as_none": True}]}, {"as_complex": {"real": 1.0, "imag": 2.0}},
)  # fmt: skip

EXPRESSIONS = (
    "s0", "s0 + 1", "-s0", "s0 // 0", "Mod(s0, 0)", "2**s0", "s0**1000", "10**10**10", "Max(s0, u0)", "u9",
    "1/0", "PythonMod(s0, -1)", "CleanDiv(s0, 3)", "(" * 2000 + "s0" + ")" * 2000, "__import__('os')",
    "Min()", "zoo", "oo",
)  # fmt: skip


def damaged_file(content: bytes, rng: random.Random) -> bytes:
    """A `.pt2` file with one or a few things wrong."""
    return rng.choices((_damaged_model, _damaged_entry, damaged_zip, damaged_bytes), weights=(80, 6, 6, 8))[
        0
    ](content, rng)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, dropped, doubled or added."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(6):
            case 0 if out:
                out[at] = rng.randrange(256)
            case 1 if out:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.choice((1, 2, 8, 100))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
            case 4:
                out[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), rng.randbytes(8)))
            case _:
                out = out[: at + 1]
    return bytes(out)


def damaged_json(data: Any, rng: random.Random) -> Any:
    """The same with one value, anywhere in it, replaced, dropped, doubled, or taken from elsewhere in it."""
    data = deepcopy(data)
    places = list(_places(data))
    if not places:
        return rng.choice(STRANGE)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = rng.choice(places)
        try:
            match rng.randrange(6):
                case 0:
                    del holder[key]
                case 1 if isinstance(holder, list):
                    holder.append(deepcopy(holder[key]))
                case 2:
                    other, place = rng.choice(places)
                    holder[key] = deepcopy(other[place])
                case 3 if isinstance(holder, list):
                    rng.shuffle(holder)
                case _:
                    holder[key] = deepcopy(rng.choice(STRANGE))
        except (IndexError, KeyError):  # an earlier change took the place away
            continue
    return data


def _places(data: Any) -> list[tuple[Any, Any]]:
    """Where values are: what holds each, and under which key."""
    found: list[tuple[Any, Any]] = []
    pending = [data] if isinstance(data, dict | list) else []
    while pending:
        holder = pending.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in items:
            found.append((holder, key))
            if isinstance(value, dict | list):
                pending.append(value)
    return found


def _damaged_model(content: bytes, rng: random.Random) -> bytes:
    """The program's document changed, somewhere or where it says what runs."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = next(name for name in archive.namelist() if "/models/" in name)
        model = json.loads(archive.read(name))
    change: Callable[[Any, random.Random], Any] = rng.choice(
        (
            damaged_json,
            _damaged_node,
            _damaged_node,
            _other_operator,
            _damaged_type,
            _damaged_expression,
            _nested,
        )
    )
    changed = change(model, rng)
    return _with_entry(content, name, json.dumps(changed).encode())


def _damaged_node(model: Any, rng: random.Random) -> Any:
    node = rng.choice(model["graph_module"]["graph"]["nodes"] or [{}])
    kept = damaged_json(node, rng)
    node.clear()
    node.update(kept if isinstance(kept, dict) else {})
    return model


def _other_operator(model: Any, rng: random.Random) -> Any:
    """A node calls something else, with its arguments by that one's names or by their own."""
    node = rng.choice(model["graph_module"]["graph"]["nodes"])
    target = rng.choice(targets())
    node["target"] = f"torch.ops.{target}"
    called = schema(target)
    names = [parameter.name for parameter in called.parameters] if called is not None else []
    for argument, name in zip(node["inputs"], names, strict=False):
        if rng.random() < 0.9:
            argument["name"] = name
    for name in names[len(node["inputs"]) :]:
        if rng.random() < 0.5:
            node["inputs"].append({"name": name, "arg": _argument(model, rng), "kind": 1})
    return model


def _argument(model: Any, rng: random.Random) -> Any:
    if rng.random() < 0.5:
        names = list(model["graph_module"]["graph"]["tensor_values"])
        return {"as_tensor": {"name": rng.choice(names)}}
    return deepcopy(rng.choice([item for item in STRANGE if isinstance(item, dict) and item]))


def _damaged_type(model: Any, rng: random.Random) -> Any:
    types = model["graph_module"]["graph"]["tensor_values"]
    type_ = types[rng.choice(list(types))]
    field = rng.choice(("dtype", "sizes", "strides", "storage_offset", "layout", "device", "requires_grad"))
    numbers = (-1, 0, 1, 3, 2**40, 2**62, 2**63 - 1)
    match field:
        case "dtype" | "layout":
            type_[field] = rng.choice((*range(-1, 45), 999))
        case "sizes" | "strides" if rng.random() < 0.8:
            sizes = type_[field] or [{}]
            sizes[rng.randrange(len(sizes))] = {"as_int": rng.choice(numbers)}
        case "storage_offset":
            type_[field] = {"as_int": rng.choice(numbers)}
        case _:
            type_[field] = deepcopy(rng.choice(STRANGE))
    return model


def _damaged_expression(model: Any, rng: random.Random) -> Any:
    """A size is an expression, or an expression is another one."""
    graph = model["graph_module"]["graph"]
    expressions = [(h, k) for h, k in _places(model) if k == "expr_str"]
    if expressions and rng.random() < 0.7:
        holder, key = rng.choice(expressions)
        holder[key] = rng.choice(EXPRESSIONS)
        return model
    sizes = graph["tensor_values"][rng.choice(list(graph["tensor_values"]))]["sizes"]
    if sizes:
        sizes[rng.randrange(len(sizes))] = {"as_expr": {"expr_str": rng.choice(EXPRESSIONS), "hint": None}}
    return model


def _nested(model: Any, rng: random.Random) -> Any:
    """Graphs in graphs in graphs: a branch whose branches are the program itself, and so on."""
    graph = model["graph_module"]["graph"]
    tensors = list(graph["tensor_values"])
    for _ in range(rng.choice((1, 2, 5, 9))):
        inner = deepcopy(graph)
        names = ("true_graph", "false_graph")
        inputs = [{"name": "", "arg": {"as_tensor": {"name": rng.choice(tensors)}}, "kind": 1}]
        inputs += [{"name": "", "arg": {"as_graph": {"name": n, "graph": inner}}, "kind": 1} for n in names]
        inputs += [{"name": "", "arg": {"as_tensors": [{"name": rng.choice(tensors)}]}, "kind": 1}]
        node = {
            "target": rng.choice(("torch.ops.higher_order.cond", "torch.ops.higher_order.while_loop")),
            "inputs": inputs,
            "outputs": [{"as_tensor": {"name": rng.choice(tensors)}}],
            "metadata": {},
        }
        graph["nodes"] = [*graph["nodes"][: rng.randrange(3)], node]
        if len(json.dumps(graph)) > 1 << 21:
            break
    return model


def _damaged_entry(content: bytes, rng: random.Random) -> bytes:
    """An entry beside the program: the tables of weights, the weights, the versions."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = rng.choice([name for name in archive.namelist() if "/models/" not in name])
        before = archive.read(name)
    if name.endswith(".json") and rng.random() < 0.8:
        return _with_entry(content, name, json.dumps(damaged_json(json.loads(before), rng)).encode())
    return _with_entry(content, name, damaged_bytes(before, rng))


def damaged_zip(content: bytes, rng: random.Random) -> bytes:
    """Entries dropped, doubled, renamed, compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as made:
        infos = archive.infolist()
        chosen = rng.choice(infos).filename
        kind = rng.randrange(5)
        for info in infos:
            data, name = archive.read(info), info.filename
            if name == chosen and kind == 0:
                continue
            if name == chosen and kind == 1:
                name = rng.choice(("../x", "/etc/x", "a/models/x.json", "a\\b", name + "/", name.upper(), ""))
            packed = zipfile.ZIP_DEFLATED if name == chosen and kind == 2 else zipfile.ZIP_STORED
            made.writestr(name or "x", data, packed)
            if name == chosen and kind == 3:
                made.writestr(zipfile.ZipInfo(name), data[::-1])
    return out.getvalue()


def _with_entry(content: bytes, name: str, data: bytes) -> bytes:
    """The archive with one entry replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as made:
        for info in archive.infolist():
            made.writestr(info.filename, data if info.filename == name else archive.read(info))
    return out.getvalue()
