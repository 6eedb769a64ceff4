"""Methods: programs of one artifact over one set of weights and one state, on every engine."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge.compiled.methods import CompiledMethods, MethodSession
from bridge.errors import BridgeError
from bridge.methods import LoweredMethods
from lowering.host.tensors import address
from lowering.host.weights import materialise
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from tests.bridge.command_line import ok, refused

ENGINES = ["xla", "iree", "aten"]
LENGTH = 8


class Notes(torch.nn.Module):
    """A layer, rows that calls write, and their number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(64, 64)
        self.register_buffer("rows", torch.zeros(LENGTH, 64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


class Method(torch.nn.Module):
    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self.notes = notes


class Prefill(Method):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.notes.layer(x)
        self.notes.rows[: x.shape[0]] = y
        self.notes.count.fill_(x.shape[0])
        return y.sum()


class Decode(Method):
    def forward(self, x: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.notes.rows.index_copy_(0, at, self.notes.layer(x))
        self.notes.count.add_(1)
        return self.notes.rows.sum(0), self.notes.count.clone()


class Peek(Method):
    """Only reads."""

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        return self.notes.rows @ w + self.notes.count


SOME, ONE, AT, W = torch.ones(3, 64), torch.ones(1, 64), torch.tensor([0]), torch.ones(64, 2)


def programs(notes: Notes) -> dict[str, Any]:
    export = torch.export.export
    return {
        "prefill": export(Prefill(notes).eval(), (SOME,)),
        "decode": export(Decode(notes).eval(), (ONE, AT)),
        "peek": export(Peek(notes).eval(), (W,)),
    }


@pytest.fixture(scope="module")
def lowered() -> LoweredMethods:
    return bridge.lower(programs(Notes()))


def talk(methods: Any, seed: int) -> list[torch.Tensor]:
    """A prefill, three steps, and a look after each."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator)

    with torch.no_grad():
        answers = [methods["prefill"](draw(3, 64)), methods["peek"](draw(64, 2))]
        for place in range(3, 6):
            answers += methods["decode"](draw(1, 64), torch.tensor([place]))
            answers.append(methods["peek"](draw(64, 2)))
    return answers


def eager(seed: int) -> list[torch.Tensor]:
    notes = Notes()
    return talk({"prefill": Prefill(notes), "decode": Decode(notes), "peek": Peek(notes)}, seed)


def assert_close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_methods_over_one_state_equal_eager(lowered: LoweredMethods, engine: str, tmp_path: Path) -> None:
    path = lowered.save(tmp_path / "notes.bridge")
    for source in (lowered, bridge.load(path)):
        methods = source.compile(engine)
        assert isinstance(methods, CompiledMethods)
        if engine != "aten":
            assert all(p.report.nodes(Placement.ATEN) == 0 for p in methods.programs.values())
        assert_close(talk(methods, 1), eager(1))
        assert sorted(methods.state()) == ["notes.count", "notes.rows"]
        methods.reset()
        # Two sessions in turns, and the methods' own state in between.
        with methods.session() as one, methods.session() as other:
            assert_close(talk(one, 2), eager(2))
            assert_close(talk(methods, 1), eager(1))
            assert_close(talk(other, 3), eager(3))
            assert one.peek(W).equal(methods.session(one.state().clone()).peek(W))


def test_a_buffer_stays_where_it_lies_over_methods(lowered: LoweredMethods) -> None:
    methods = lowered.compile("xla")
    places = set()
    methods.prefill(SOME)
    for place in range(3, 6):
        methods.decode(ONE, torch.tensor([place]))
        methods.peek(W)
        places.add(methods.state().store.handles["notes.rows"].array.unsafe_buffer_pointer())
        assert "notes.rows" not in methods.state().store.host
    assert len(places) == 1


def test_weights_are_stored_and_bound_once(lowered: LoweredMethods, tmp_path: Path) -> None:
    alone = bridge.lower(programs(Notes())["decode"]).save(tmp_path / "alone.bridge")
    path = lowered.save(tmp_path / "notes.bridge")
    sizes = [(folder / "weights.irpa").stat().st_size for folder in (alone, path)]
    assert sizes[0] == sizes[1]
    loaded = bridge.load(path)
    storages = [m.weights.storages[m.weights.views["notes.layer.weight"].storage] for m in loaded.values()]
    assert len(set(map(id, storages))) == 1


def test_files_hold_the_same_weights(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.pt2" for name in ("prefill", "decode")}
    for name, path in paths.items():
        torch.export.save(programs(Notes())[name], path)
    methods = bridge.lower(paths).compile("aten")
    methods.prefill(SOME)
    assert methods.decode(ONE, torch.tensor([3]))[1].item() == 4


def test_buffers_of_their_own(lowered: LoweredMethods) -> None:
    for shared, state in (
        (False, ["decode.notes.count", "decode.notes.rows", "prefill.notes.count", "prefill.notes.rows"]),
        (["notes.rows"], ["decode.notes.count", "notes.rows", "prefill.notes.count"]),
    ):
        methods = bridge.lower(programs(Notes()), share_buffers=shared).compile("aten")
        methods.prefill(SOME)
        assert methods.decode(ONE, torch.tensor([3]))[1].item() == 1
        assert sorted(methods.state()) == state
        # What is not shared begins anew in the method that only reads it.
        assert methods.peek(W)[0, 0].item() == pytest.approx(
            methods.state()["notes.rows"][0].sum().item() if shared else 0.0, rel=1e-5
        )


def test_methods_are_known_by_their_names(lowered: LoweredMethods) -> None:
    assert list(lowered) == ["prefill", "decode", "peek"]
    assert repr(lowered) == "<LoweredMethods prefill, decode, peek, 4 weights>"
    methods = lowered.compile("aten")
    assert [*methods] == ["prefill", "decode", "peek"]
    with methods.session() as session:
        assert isinstance(session, MethodSession)
    with pytest.raises(BridgeError, match="the session has ended"):
        session.decode(ONE, AT)
    with pytest.raises(AttributeError, match="there is no method 'decod'; there are prefill, decode, peek"):
        _ = methods.decod
    with pytest.raises(BridgeError, match="there is no method 'pek'"):
        lowered["pek"]


def _other(change: str) -> dict[str, Any]:
    """Two methods whose weights differ."""
    notes = Notes()
    first = torch.export.export(Prefill(copy.deepcopy(notes)).eval(), (SOME,))
    if change == "values":
        notes.layer.bias.data.add_(1)
    else:
        notes.rows = torch.zeros(LENGTH + 1, 64)
    return {"prefill": first, "decode": torch.export.export(Decode(notes).eval(), (ONE, AT))}


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (dict, {}, "there are no methods to lower: give a dict of programs by name"),
        (
            lambda: {"a b": None},
            {},
            "a method cannot be called 'a b': give a Python name without a leading _",
        ),
        (
            lambda: {"state": None},
            {},
            "a method cannot be called 'state': compiled methods have that name already",
        ),
        (
            lambda: _other("values"),
            {},
            "`notes.layer.bias` has other values in the method decode than in prefill; "
            "methods share their weights by name",
        ),
        (
            lambda: _other("sizes"),
            {},
            "`notes.rows` is float32 [9, 64] in the method decode and float32 [8, 64] in prefill; "
            "methods share their weights by name",
        ),
        (
            lambda: programs(Notes()),
            {"share_buffers": ["notes.row"]},
            "share_buffers names 'notes.row', which no method writes; did you mean `notes.rows`?",
        ),
        (
            lambda: programs(Notes()),
            {"args": (SOME,)},
            "methods take no arguments, model or weights; export each, give the programs",
        ),
    ],
)
def test_refusals(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BridgeError) as raised:
        bridge.lower(make(), **options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda header: header.pop("methods"), "is not the manifest of an artifact"),
        (lambda header: header.update(methods={}), "is not the manifest of an artifact"),
        (lambda header: header["methods"]["peek"].pop("binaries"), "does not describe the binaries"),
        (
            lambda header: header["methods"].update({"../x": header["methods"]["peek"]}),
            "names a method that no program can have",
        ),
        (
            lambda header: header["methods"].update(other=header["methods"]["peek"]),
            "does not list other.program.json",
        ),
    ],
)
def test_damaged_methods_are_refused(
    lowered: LoweredMethods, edit: Any, message: str, tmp_path: Path
) -> None:
    path = lowered.save(tmp_path / "notes.bridge")
    header = json.loads((path / "manifest.json").read_text())
    edit(header)
    (path / "manifest.json").write_text(json.dumps(header))
    with pytest.raises(BridgeError, match=message):
        bridge.load(path)


class Shifted(Method):
    """Has constants, which the exporter names `lifted_tensor_0` and so on in every program."""

    def __init__(self, notes: Notes, by: float) -> None:
        super().__init__(notes)
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tensor([self.by, 1.0]) + self.notes.count


def test_constants_of_one_name_are_each_methods_own() -> None:
    notes, x = Notes(), torch.zeros(2)
    shifted = {
        f"by_{by}": torch.export.export(Shifted(notes, by).eval(), (x,), strict=False) for by in (2, 5)
    }
    lowered = bridge.lower({"prefill": programs(notes)["prefill"], **shifted})
    assert {"lifted_tensor_0", "by_5.lifted_tensor_0"} <= lowered.weights.views.keys()
    methods = lowered.compile("aten")
    assert (methods.by_2(x).tolist(), methods.by_5(x).tolist()) == ([2.0, 1.0], [5.0, 1.0])


class First(Method):
    """Returns a view of what it only reads."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.notes.rows[0], x + self.notes.rows[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_method_returns_of_the_state_is_the_callers_own(engine: str) -> None:
    notes = Notes()
    first = torch.export.export(First(notes).eval(), (torch.ones(64),))
    methods = bridge.lower({**programs(notes), "first": first}).compile(engine)
    methods.prefill(SOME)
    row, _ = methods.first(torch.ones(64))
    before = row.clone()
    methods.prefill(SOME * 2)
    assert row.equal(before)
    row.zero_()
    assert methods.first(torch.ones(64))[0].ne(0).any()


class Scaled(torch.nn.Module):
    """Has a weight that the others lack, and lacks theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def test_methods_take_other_weights_each_those_that_it_has() -> None:
    scaled = torch.export.export(Scaled(), (torch.ones(3),))
    methods = bridge.lower({**programs(Notes()), "scaled": scaled}).compile("aten")
    methods.set_weights({"notes.layer.bias": torch.full((64,), 2.0), "factor": torch.full((3,), 5.0)})
    methods.prefill(SOME * 0)
    assert methods.decode(ONE * 0, torch.tensor([3]))[0].tolist() == [8.0] * 64
    assert methods.scaled(torch.ones(3)).tolist() == [5.0] * 3
    # The caller's tensors are copied once for all methods.
    places = {
        address(materialise(p.executor.loaded.weights.weights, ["notes.layer.bias"])["notes.layer.bias"])
        for name, p in methods.programs.items()
        if name in ("prefill", "decode")
    }
    assert len(places) == 1
    for source, message in (
        ({"notes.layer.gain": torch.ones(64)}, "unexpected: notes.layer.gain"),
        ({"notes.layer.bias": torch.ones(3), "factor": torch.ones(3)}, "sizes of notes.layer.bias"),
    ):
        with pytest.raises(BridgeError, match=message):
            methods.set_weights(source)
    assert methods.scaled(torch.ones(3)).tolist() == [5.0] * 3


def test_no_method_changes_where_one_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = bridge.lower(programs(Notes())).compile("aten")
    before = methods.decode(ONE, AT)[0]
    methods.reset()

    def fail(*_: object) -> None:
        raise EngineError("no memory is left")

    other = {"notes.layer.weight": torch.ones(64, 64)}
    with monkeypatch.context() as patch:
        patch.setattr(methods.programs["peek"].executor.loaded, "with_weights", fail)
        with pytest.raises(EngineError, match="no memory is left"):
            methods.set_weights({**other, "notes.rows": torch.ones(LENGTH, 64)})
    assert methods.decode(ONE, AT)[0].equal(before)
    methods.reset()
    methods.set_weights(other)
    assert not methods.decode(ONE, AT)[0].equal(before)


def test_the_command_line_lowers_and_runs_methods(tmp_path: Path) -> None:
    for name, program in programs(Notes()).items():
        torch.export.save(program, tmp_path / f"{name}.pt2")
    artifact, state = tmp_path / "notes.bridge", tmp_path / "state.safetensors"
    files = [f"--method={name}={tmp_path / name}.pt2" for name in ("prefill", "decode", "peek")]
    out = ok("lower", *files, "-o", artifact, "-e", "none")
    assert all(f"{name}:" in out for name in ("prefill", "decode", "peek"))
    inputs = {"x": SOME, "one": ONE, "at": torch.tensor([3])}
    for name, value in inputs.items():
        np.save(tmp_path / f"{name}.npy", value.numpy())
    ok("run", artifact, "--method=prefill", "-e", "aten", "-i", tmp_path / "x.npy", "--save-state", state)
    out = ok(
        *("run", artifact, "--method=decode", "-e", "aten", "--state", state),
        *("-i", tmp_path / "one.npy", "-i", tmp_path / "at.npy"),
    )
    assert "buffer notes.count, after the call: int64 []\n4" in out
    assert "PASSED" in ok("verify", artifact, "--method", "peek", "-e", "aten")
    refused("has several methods: choose one with --method, of prefill, decode, peek", "info", artifact)
    refused("there is no method 'pek'", "info", artifact, "--method", "pek")
    refused(
        "--method decode: give a name and its file, as decode=decode.pt2",
        "lower",
        "--method=decode",
        "-o",
        artifact,
    )
    refused("methods have no file of one name to lie beside", "lower", *files)
