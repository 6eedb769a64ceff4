"""What a call is refused with, for each kind of thing that a program asks of it, in its inputs' words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch.export import Dim

import bridge
from bridge.lowered import Lowered
from lowering.targets.errors import ExecutionError, InputError

AUTO = Dim.AUTO
ROWS = Dim("rows", min=2, max=64)


def z(*sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(sizes, dtype=dtype)


class Module(torch.nn.Module):
    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body


class One(Module):
    def forward(self, x: Any) -> Any:
        return self.body(x)


class Two(Module):
    def forward(self, x: Any, y: Any) -> Any:
        return self.body(x, y)


class Three(Module):
    def forward(self, x: Any, y: Any, w: Any) -> Any:
        return self.body(x, y, w)


class Case(NamedTuple):
    """A program, arguments that it takes, ones that it refuses, and the whole message."""

    body: Callable[..., Any]
    good: tuple[Any, ...]
    bad: tuple[Any, ...]
    message: str
    dynamic: Any = None


def grows(x: Any, y: Any) -> Any:
    return x * 2 if x.shape[0] > y.shape[0] else x


def differs(x: Any, y: Any) -> Any:
    return x.sum() + y.sum() if x.shape[0] != y.shape[0] else x.sum()


def either(x: Any, y: Any) -> Any:
    return x * 2 if x.shape[0] > y.shape[0] or y.shape[0] % 2 == 0 else x


def larger(x: Any, y: Any, w: Any) -> Any:
    return torch.zeros(torch.sym_max(x.shape[0], y.shape[0])) + w


def smaller(x: Any, y: Any, w: Any) -> Any:
    return torch.zeros(torch.sym_min(x.shape[0], y.shape[0])) + w


def checked(x: Any, y: Any) -> Any:
    torch._check(x.shape[0] + y.shape[0] < 20)
    return x.sum() + y.sum()


def above(x: Any, y: Any) -> Any:
    return x * y if y > 2 else x


ANY2 = ({0: AUTO}, {0: AUTO})
ANY3 = ({0: AUTO}, {0: AUTO}, {0: AUTO})

REFUSALS = {
    "range": Case(
        lambda x: x + 1,
        (z(4, 3),),
        (z(65, 3),),
        "dim 0 of `x` is 65, the program allows at most 64",
        ({0: ROWS},),
    ),
    "open range": Case(
        lambda x: x[3:], (z(9),), (z(3),), "dim 0 of `x` is 3, the program allows 5 or more", ({0: AUTO},)
    ),
    "range of a nested input": Case(
        lambda x: x["a"][0] + 1,
        ({"a": [z(4)]},),
        ({"a": [z(65)]},),
        "dim 0 of `x['a'][0]` is 65, the program allows at most 64",
        ({"a": [{0: ROWS}]},),
    ),
    "multiple of another": Case(
        lambda x, y: torch.cat([x, x]) + y,
        (z(4), z(8)),
        (z(4), z(9)),
        "dim 0 of `y` is 9, the program takes 8 = 2*x.size(0), where x.size(0) is 4",
        ({0: ROWS}, {0: 2 * ROWS}),
    ),
    "one more than another": Case(
        lambda x, y: x + y[1:],
        (z(4), z(5)),
        (z(4), z(6)),
        "dim 0 of `y` is 6, the program takes 5 = x.size(0) + 1, where x.size(0) is 4",
        ({0: ROWS}, {0: ROWS + 1}),
    ),
    "even sizes, an odd one": Case(
        lambda x: x * 1,
        (z(8),),
        (z(9),),
        "dim 0 of `x` is 9, the program allows 4 to 128 in steps of 2",
        ({0: 2 * ROWS},),
    ),
    "even sizes, one too small": Case(
        lambda x: x * 1,
        (z(8),),
        (z(2),),
        "dim 0 of `x` is 2, the program allows 4 to 128 in steps of 2",
        ({0: 2 * ROWS},),
    ),
    "a derived size by a derived size": Case(
        lambda x, y: x.sum() + y.sum(),
        (z(8), z(5)),
        (z(8), z(6)),
        "dim 0 of `y` is 6, the program takes 5 = x.size(0) // 2 + 1, where x.size(0) // 2 is 4",
        ({0: 2 * ROWS}, {0: ROWS + 1}),
    ),
    "equality": Case(
        lambda x, y: x + y,
        (z(8), z(8)),
        (z(3), z(5)),
        "dim 0 of `y` is 5, the program takes 3, the same as dim 0 of `x`",
        ANY2,
    ),
    "equality within one input": Case(
        lambda x: x + x.t(),
        (z(8, 8),),
        (z(3, 5),),
        "dim 1 of `x` is 5, the program takes 3, the same as dim 0 of `x`",
        ({0: AUTO, 1: AUTO},),
    ),
    "sum": Case(
        lambda x, y, w: torch.cat([x, y]) + w,
        (z(4), z(8), z(12)),
        (z(5), z(7), z(13)),
        "dim 0 of `w` is 13, the program takes 12 = y.size(0) + x.size(0), "
        "where y.size(0) is 7, x.size(0) is 5",
        ANY3,
    ),
    "product": Case(
        lambda x, y: x.reshape(-1) + y,
        (z(4, 3), z(12)),
        (z(5, 7), z(13)),
        "dim 0 of `y` is 13, the program takes 35 = x.size(1)*x.size(0), "
        "where x.size(1) is 7, x.size(0) is 5",
        ({0: AUTO, 1: AUTO}, {0: AUTO}),
    ),
    "inequality": Case(
        differs,
        (z(8), z(4)),
        (z(3), z(3)),
        "the program was exported for x.size(0) != y.size(0), but x.size(0) is 3, y.size(0) is 3",
        ANY2,
    ),
    "order": Case(
        grows,
        (z(8), z(4)),
        (z(5), z(6)),
        "the program was exported for x.size(0) > y.size(0), but x.size(0) is 5, y.size(0) is 6",
        ANY2,
    ),
    "either of two": Case(
        either,
        (z(4), z(8)),
        (z(5), z(7)),
        "the program was exported for y.size(0) % 2 == 0, but y.size(0) is 7",
        ANY2,
    ),
    "divisibility": Case(
        lambda x: x.reshape(4, -1),
        (z(8),),
        (z(9),),
        "the program was exported for x.size(0) % 4 == 0, but x.size(0) is 9",
        ({0: AUTO},),
    ),
    "divisibility of a product": Case(
        lambda x: x.reshape(-1, 4),
        (z(8, 6),),
        (z(3, 3),),
        "the program was exported for (x.size(1)*x.size(0)) % 4 == 0, but x.size(0) is 3, x.size(1) is 3",
        ({0: AUTO, 1: AUTO},),
    ),
    "floor division": Case(
        lambda x, y: x.unfold(0, 2, 2).sum(1) + y,
        (z(8), z(4)),
        (z(8), z(5)),
        "the program was exported for x.size(0) // 2 == y.size(0), but x.size(0) is 8, y.size(0) is 5",
        ANY2,
    ),
    "the larger of two": Case(
        larger,
        (z(8), z(4), z(8)),
        (z(3), z(5), z(6)),
        "the program was exported for max(y.size(0), x.size(0)) == w.size(0), "
        "but w.size(0) is 6, x.size(0) is 3, y.size(0) is 5",
        ANY3,
    ),
    "the smaller of two": Case(
        smaller,
        (z(8), z(4), z(4)),
        (z(3), z(5), z(6)),
        "the program was exported for min(y.size(0), x.size(0)) == w.size(0), "
        "but w.size(0) is 6, x.size(0) is 3, y.size(0) is 5",
        ANY3,
    ),
    "the author's own check": Case(
        checked,
        (z(4), z(3)),
        (z(13), z(13)),
        "the program was exported for y.size(0) + x.size(0) < 20, but x.size(0) is 13, y.size(0) is 13",
        ANY2,
    ),
    "a symbolic int out of its range": Case(
        above, (z(4), 3), (z(4), 1), "`y` is 1, the program allows 3 or more", ({}, AUTO)
    ),
    "a symbolic int that is none": Case(
        lambda x, y: x * y, (z(4), 3), (z(4), 2.5), "`y` is 2.5, the program takes an int", ({}, AUTO)
    ),
    "int": Case(
        lambda x, y: x * y,
        (z(4), 3),
        (z(4), 5),
        "`y` is 5, the program was exported for 3 and takes no other",
    ),
    "float": Case(
        lambda x, y: x * y,
        (z(4), 3.5),
        (z(4), 5.5),
        "`y` is 5.5, the program was exported for 3.5 and takes no other",
    ),
    "bool": Case(
        lambda x, y: x * 2 if y else x,
        (z(4), True),
        (z(4), 1),
        "`y` is 1, the program was exported for True and takes no other",
    ),
    "string": Case(
        lambda x, y: x * 2 if y == "a" else x,
        (z(4), "a"),
        (z(4), "b"),
        "`y` is 'b', the program was exported for 'a' and takes no other",
    ),
    "None": Case(
        lambda x, y: x * 2,
        (z(4), None),
        (z(4), z(3)),
        "`y` is a tensor of float32 (3,), the program was exported for None and takes no other",
    ),
    "dtype": Case(
        lambda x: x * 2, (z(4),), (z(4, dtype=torch.int64),), "`x` is int64, the program takes float32"
    ),
    "rank": Case(
        lambda x: x * 2,
        (z(4, 3),),
        (z(4),),
        "`x` has 1 dimension (4,), the program takes 2 (?, 3)",
        ({0: ROWS},),
    ),
    "static size": Case(lambda x: x * 2, (z(4, 3),), (z(4, 4),), "dim 1 of `x` is 4, the program takes 3"),
    "a size that was broadcast": Case(
        lambda x, y: x + y,
        (z(4, 3), z(1, 3)),
        (z(4, 3), z(4, 3)),
        "dim 0 of `y` is 4, the program takes 1",
        ({0: AUTO}, {}),
    ),
    "keys of a dict": Case(
        lambda x: x["a"] * 2,
        ({"a": z(4)},),
        ({"b": z(4)},),
        "`x` has another structure than the program takes: expected dict with keys ['a'], "
        "got dict with keys ['b']",
    ),
    "length of a list": Case(
        lambda x: x[0] * x[1],
        ([z(4), z(4)],),
        ([z(4)],),
        "`x` has another structure than the program takes: expected list of 2, got list of 1",
    ),
    "a tensor for a list": Case(
        lambda x: x[0] * 2,
        ([z(4)],),
        (z(4),),
        "`x` has another structure than the program takes: expected list of 1, got Tensor",
    ),
    "a tuple for a list": Case(
        lambda x: x[0] * 2,
        ([z(4)],),
        ((z(4),),),
        "`x` has another structure than the program takes: expected list of 1, got tuple of 1",
    ),
    "a list for a tensor": Case(
        lambda x: x * 2, (z(4),), ([z(4)],), "`x` is a list, the program takes a tensor of float32 (4,)"
    ),
}


def lowered(case: Case) -> Lowered:
    module = {1: One, 2: Two, 3: Three}[len(case.good)](case.body)
    return bridge.lower(torch.export.export(module, case.good, dynamic_shapes=case.dynamic, strict=False))


@pytest.mark.parametrize("name", REFUSALS)
def test_a_call_is_refused_in_the_words_of_its_inputs(name: str) -> None:
    case = REFUSALS[name]
    compiled = lowered(case).compile("aten")
    assert compiled.report.unchecked_guards == ()
    compiled(*case.good)
    with pytest.raises(InputError) as caught:
        compiled(*case.bad)
    assert str(caught.value) == case.message
    assert compiled.report.calls == 1


def between(x: Any) -> Any:
    count = x.item()
    torch._check(count >= 2)
    torch._check(count <= 10)
    return torch.ones(count)


def few(x: Any) -> Any:
    places = x.nonzero()
    torch._check(places.shape[0] <= 2)
    return places * 2


def as_many(x: Any, y: Any) -> Any:
    places = x.nonzero().squeeze(1)
    torch._check(places.shape[0] == y.shape[0])
    return places * 2


def exactly(x: Any, y: Any) -> Any:
    torch._check(x.item() == y.shape[0])
    return y * 2


def positive(x: Any) -> Any:
    torch._assert_async((x > 0).all(), "must be positive")
    return x * 2


# Each fails where eager's own assertion does.
ASSERTIONS = {
    "range of item()": Case(
        between, (torch.tensor(4),), (torch.tensor(11),), "the program takes item <= 10, but item is 11"
    ),
    "number of nonzeros": Case(
        few,
        (torch.tensor([1.0, 0, 1]),),
        (torch.ones(3),),
        "the program takes nonzero.size(0) <= 2, but nonzero.size(0) is 3",
    ),
    "number of nonzeros is a size": Case(
        as_many,
        (torch.tensor([1.0, 0, 1]), z(2)),
        (torch.ones(3), z(2)),
        "node nonzero, aten.nonzero.default: ValueError: dim 0 of nonzero is 3, the program takes 2",
        ({}, {0: AUTO}),
    ),
    "item() is a size": Case(
        exactly,
        (torch.tensor(3), z(3)),
        (torch.tensor(4), z(3)),
        "node item, aten.item.default: ValueError: item is 4, the program takes 3",
        ({}, {0: AUTO}),
    ),
}


@pytest.mark.parametrize("engine", ["aten", "xla"])
@pytest.mark.parametrize("name", ASSERTIONS)
def test_an_assertion_about_the_data_is_told_in_the_words_of_the_program(name: str, engine: str) -> None:
    case = ASSERTIONS[name]
    compiled = lowered(case).compile(engine)
    compiled(*case.good)
    with pytest.raises(ExecutionError) as caught:
        compiled(*case.bad)
    place = r" \([^()]*test_messages\.py:\d+\)"
    assert re.search(place, str(caught.value))
    assert re.sub(place, "", str(caught.value)) == case.message
    module = {1: One, 2: Two}[len(case.good)](case.body)
    with pytest.raises(RuntimeError):
        module(*case.bad)


@pytest.mark.parametrize("engine", ["aten", "xla"])
def test_an_assertion_about_a_tensor_keeps_its_author_s_words(engine: str) -> None:
    compiled = lowered(Case(positive, (torch.ones(3),), (), "")).compile(engine)
    compiled(torch.ones(3))
    with pytest.raises(ExecutionError, match="must be positive"):
        compiled(-torch.ones(3))
