"""Whatever structure a program takes and gives: as eager has it, for torch and numpy callers, saved too."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.utils._pytree as pytree
from torch.export import Dim

import bridge
from bridge.errors import BridgeError

AUTO = Dim.AUTO


@dataclass
class Batch:
    ids: Any
    mask: Any = None


Point = namedtuple("Point", ["x", "y"])

pytree.register_dataclass(Batch, serialized_type_name="tests.structure.Batch")
pytree._register_namedtuple(Point, serialized_type_name="tests.structure.Point")


def t(*sizes: int) -> torch.Tensor:
    return torch.arange(1.0, 1 + int(np.prod(sizes))).reshape(sizes)


class Case(NamedTuple):
    """A program, the call that is exported, and another call of it."""

    module: type[torch.nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    again: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
    dynamic: Any = None


class Nested(torch.nn.Module):
    def forward(self, tree: Any) -> Any:
        a, (b, c) = tree["a"], tree["deep"]["list"]
        return {"out": [a + b, (c * 2, {"again": a - c})], "none": None, "n": (1, 2.5, True, "word")}


class Named(torch.nn.Module):
    def forward(self, point: Any) -> Any:
        return Point(point.y, [point.x + point.y])


class Data(torch.nn.Module):
    def forward(self, batch: Any) -> Any:
        return Batch(batch.ids + 1, Point(batch.mask, batch.ids))


class Containers(torch.nn.Module):
    def forward(self, ordered: Any, default: Any, queue: Any) -> Any:
        return (
            OrderedDict(z=ordered["b"] + 1, a=ordered["a"]),
            defaultdict(list, {"k": [default["k"][0] * 2]}),
            deque([queue[0] + queue[1]], maxlen=3),
        )


class Keywords(torch.nn.Module):
    def forward(self, x: Any, *, scale: Any, shift: Any, mode: str = "add", times: int = 2) -> Any:
        return x * scale + shift if mode == "add" else x * scale * times - shift


class Defaults(torch.nn.Module):
    def forward(self, x: Any, y: Any = None, factor: float = 2.0, flag: bool = True) -> Any:
        return x * factor if y is None else (x + y if flag else x - y)


class Scalars(torch.nn.Module):
    def forward(self, x: Any, n: int) -> Any:
        return x * n, n, n + 1, x.shape[0], x.shape[0] * 2, [n * x.shape[0], x.shape[0] / n]


class Repeated(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(t(2))
        self.register_buffer("kept", t(3))
        self.constant = t(2, 2)

    def forward(self, x: Any, y: Any) -> Any:
        z = x + y
        return z, [z, {"z": z}], x, x, self.weight, self.kept, self.constant, None, y, torch.ones(2)


class Empty(torch.nn.Module):
    def forward(self) -> Any:
        return ()


class EmptyContainers(torch.nn.Module):
    def forward(self, x: Any, nothing: Any) -> Any:
        return {}, [], (), x, {"a": []}


class Nothing(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return None


class Constants(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return 3, "word", 2.5, True, None


class Identity(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return x


class Literals(torch.nn.Module):
    def forward(self, x: Any, options: Any) -> Any:
        y = x * options["factor"] + options["offset"]
        return {"y": -y if options["negate"] else y, "mode": options["mode"], "skip": options["skip"]}


class Variadic(torch.nn.Module):
    def forward(self, *xs: Any, **named: Any) -> Any:
        return xs[0] + xs[1], named["b"] - named["a"]


class Keys(torch.nn.Module):
    def forward(self, tables: Any) -> Any:
        return {1: tables[1] + 1, "one": tables["one"] * 2, None: tables[1] * 3, 2.5: 4}


class TupleKeys(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return {(1, 2): x}


CASES = {
    "nested": Case(
        Nested,
        ({"a": t(3), "deep": {"list": [t(3) * 2, t(3) * 3]}},),
        again=(({"deep": {"list": [t(3), t(3) * 5]}, "a": t(3) * 7},), {}),
    ),
    "namedtuple": Case(Named, (Point(t(2), t(2) * 3),)),
    "dataclass": Case(Data, (Batch(t(2), t(3)),)),
    "dataclass with None": Case(Data, (Batch(t(2)),)),
    "ordered, default, deque": Case(
        Containers,
        (OrderedDict(b=t(2), a=t(3)), defaultdict(list, {"k": [t(2)]}), deque([t(2), t(2)])),
    ),
    "keywords in any order": Case(
        Keywords,
        (t(3),),
        {"scale": t(3), "shift": t(1)},
        again=((), {"shift": t(1) * 4, "x": t(3) * 2, "scale": t(3) * 3}),
    ),
    "keywords and literals": Case(
        Keywords, (t(3),), {"scale": t(3), "shift": t(1), "mode": "sub", "times": 3}
    ),
    "defaults left out": Case(Defaults, (t(3),)),
    "defaults given": Case(Defaults, (t(3), t(3) * 2), {"flag": False}),
    "symbolic ints in and out": Case(Scalars, (t(3), 5), again=((t(4), 9), {}), dynamic=({0: AUTO}, AUTO)),
    "repeated, inputs, weights, None": Case(Repeated, (t(3), t(3) * 2)),
    "empty": Case(Empty),
    "empty containers": Case(EmptyContainers, (t(2), {"a": [], "b": ()})),
    "returns nothing": Case(Nothing, (t(2),)),
    "returns constants": Case(Constants, (t(2),)),
    "returns its input": Case(Identity, (t(2),)),
    "literals in a dict": Case(
        Literals,
        (t(2), {"factor": 3, "offset": 0.5, "negate": True, "mode": "a", "skip": None}),
    ),
    "variadic": Case(Variadic, (t(2), t(2) * 3), {"b": t(2), "a": t(1)}),
    "keys that are no strings": Case(Keys, ({1: t(2), "one": t(3)},)),
}


def same(got: Any, want: Any) -> None:
    """The same types of containers and of leaves, all the way down, and the same values."""
    assert type(got) is type(want), (got, want)
    if isinstance(want, torch.Tensor):
        torch.testing.assert_close(got, want, rtol=0, atol=0)
        return
    leaves, structure = pytree.tree_flatten(want)
    found, found_structure = pytree.tree_flatten(got)
    assert found_structure == structure
    for a, b in zip(found, leaves, strict=True):
        assert type(a) is type(b)
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        else:
            assert a == b


def in_numpy(tree: Any) -> Any:
    return pytree.tree_map(lambda x: x.detach().numpy() if isinstance(x, torch.Tensor) else x, tree)


def in_torch(tree: Any) -> Any:
    """What a numpy caller got, as torch; every tensor must have been numpy's."""
    assert not any(isinstance(x, torch.Tensor) for x in pytree.tree_leaves(tree))
    return pytree.tree_map(lambda x: torch.from_numpy(x) if isinstance(x, np.ndarray) else x, tree)


@pytest.mark.parametrize("engine", ["aten", "xla"])
@pytest.mark.parametrize("name", CASES)
def test_structure_is_eager_s(name: str, engine: str, tmp_path: Path) -> None:
    case = CASES[name]
    module = case.module()
    exported = torch.export.export(
        module, case.args, dict(case.kwargs), dynamic_shapes=case.dynamic, strict=False
    )
    lowered = bridge.lower(exported)
    lowered.save(tmp_path / "model.bridge")
    calls = [(case.args, case.kwargs), *([case.again] if case.again else [])]
    for compiled in (lowered.compile(engine), bridge.load(tmp_path / "model.bridge").compile(engine)):
        for args, kwargs in calls:
            with torch.no_grad():
                want = pytree.tree_map(_plain, module(*args, **kwargs))
            same(pytree.tree_map(_plain, compiled(*args, **kwargs)), want)
            got = compiled(*in_numpy(args), **in_numpy(dict(kwargs)))
            has_tensors = any(isinstance(x, torch.Tensor) for x in pytree.tree_leaves((args, kwargs)))
            same(in_torch(got) if has_tensors else got, want)


def _plain(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, torch.Tensor) else leaf


def test_what_torch_cannot_serialise_is_refused() -> None:
    """A tuple as a key: `torch.export.save` fails, too."""
    exported = torch.export.export(TupleKeys(), (t(4),), dynamic_shapes=({0: AUTO},), strict=False)
    with pytest.raises(BridgeError, match="cannot"):
        bridge.lower(exported)
