"""Conversations over one compiled program: sessions, their states, and files of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bridge
from bridge.state_files import STATE_FILES
from tests.bridge.command_line import ok, refused
from tests.decoder import decoder, exported, step

ENGINES = ["xla", "iree", "aten"]
TOKENS = 12


@cache
def compiled_on(engine: str) -> Any:
    return bridge.lower(exported(decoder())).compile(engine)


def conversation(call: Any, seed: int, start: int = 0, count: int = TOKENS) -> list[torch.Tensor]:
    """The logits of tokens that are drawn from a seed."""
    ids = torch.randint(50, (start + count,), generator=torch.Generator().manual_seed(seed)).tolist()
    with torch.no_grad():
        return [call(*step(ids[at], at)).clone() for at in range(start, start + count)]


def same(one: list[torch.Tensor], other: list[torch.Tensor], **tolerance: float) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, **(tolerance or {"rtol": 0, "atol": 0}))


@pytest.mark.parametrize("engine", ENGINES)
def test_interleaved_conversations_are_those_apart(engine: str) -> None:
    compiled = compiled_on(engine)
    apart = []
    for seed in (1, 2):
        with compiled.session() as s:
            apart.append(conversation(s, seed))
        same(apart[-1], conversation(decoder(), seed), rtol=1e-4, atol=1e-5)
    with compiled.session() as one, compiled.session() as two:
        found: list[list[torch.Tensor]] = [[], []]
        for at in range(TOKENS):
            found[0] += conversation(one, 1, at, 1)
            found[1] += conversation(two, 2, at, 1)
    same(found[0], apart[0])
    same(found[1], apart[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_conversations_in_threads_are_those_apart(engine: str) -> None:
    compiled = compiled_on(engine)
    expected = [conversation(compiled.session(), seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            sessions = [compiled.session() for _ in expected]
            for got, want in zip(pool.map(conversation, sessions, range(4)), expected, strict=True):
                same(got, want)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_conversation_goes_on_from_a_clone_a_file_and_a_mark(engine: str, tmp_path: Path) -> None:
    compiled = compiled_on(engine)
    whole = conversation(compiled.session(), 3, 0, 2 * TOKENS)
    first = compiled.session()
    conversation(first, 3)
    mark = first.state().clone()
    first.state().save(tmp_path / "state.safetensors")
    other = compiled.session(mark.clone())
    same(conversation(other, 3, TOKENS), whole[TOKENS:])
    same(conversation(first, 3, TOKENS), whole[TOKENS:])
    first.state().rollback(mark)
    same(conversation(first, 3, TOKENS), whole[TOKENS:])
    loaded = compiled.session()
    loaded.state().load(tmp_path / "state.safetensors")
    same(conversation(loaded, 3, TOKENS), whole[TOKENS:])
    loaded.reset()
    same(conversation(loaded, 3, 0, 2), whole[:2])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_one_engine_goes_on_in_another(engine: str, tmp_path: Path) -> None:
    whole = conversation(decoder(), 5, 0, 2 * TOKENS)
    source = compiled_on("aten").session()
    conversation(source, 5)
    source.state().save(tmp_path / "s.safetensors")
    with compiled_on(engine).session() as s:
        s.state().load(tmp_path / "s.safetensors")
        same(conversation(s, 5, TOKENS), whole[TOKENS:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_sessions_leave_the_program_s_own_state(engine: str) -> None:
    compiled = compiled_on(engine)
    compiled.reset()
    before = compiled.buffers
    with compiled.session() as s:
        conversation(s, 1, 0, 2)
        assert any(not torch.equal(before[name], s.state()[name]) for name in before)
    assert all(torch.equal(before[name], value) for name, value in compiled.buffers.items())


def test_a_failed_call_leaves_its_session_and_the_others() -> None:
    compiled = compiled_on("xla")
    one, two = compiled.session(), compiled.session()
    conversation(one, 1, 0, 3)
    conversation(two, 2, 0, 3)
    states = [dict(s.state()) for s in (one, two)]
    with pytest.raises(IndexError):
        one(*step(3, 1000))
    for session, before in zip((one, two), states, strict=True):
        assert all(torch.equal(before[name], session.state()[name]) for name in before)


def test_a_loaded_artifact_has_sessions_and_its_files_fit(tmp_path: Path) -> None:
    bridge.lower(exported(decoder())).save(tmp_path / "d.bridge")
    s = compiled_on("aten").session()
    conversation(s, 1)
    s.state().save(tmp_path / "s.safetensors")
    again = bridge.load(tmp_path / "d.bridge").compile("aten").session()
    again.state().load(tmp_path / "s.safetensors")
    assert dict(again.state()).keys() == dict(s.state()).keys()
    assert all(torch.equal(s.state()[name], value) for name, value in again.state().items())


def test_the_command_goes_on_from_a_file(tmp_path: Path) -> None:
    bridge.lower(exported(decoder())).save(tmp_path / "d.bridge")
    file = tmp_path / "s.safetensors"
    for at, token in enumerate((5, 7)):
        for name, value in zip(("tokens", "position"), step(token, at), strict=True):
            np.save(tmp_path / f"{name}.npy", value.numpy())
        inputs = [word for name in ("tokens", "position") for word in ("-i", tmp_path / f"{name}.npy")]
        before = ["--state", file] if at else []
        output = ["-o", tmp_path / "out.npy"]
        ok("run", tmp_path / "d.bridge", "-e", "aten", *inputs, *before, "--save-state", file, *output)
    eager = decoder()
    with torch.no_grad():
        expected = [eager(*step(5, 0)), eager(*step(7, 1))][1]
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected.numpy(), rtol=1e-5, atol=1e-6)
    refused(
        "the buffer 'layers.0.attention.keys' is missing and 3 more",
        *("run", tmp_path / "d.bridge", "-e", "aten", *inputs, "--state", _other(tmp_path)),
    )
    nowhere = tmp_path / "none" / "s.safetensors"
    refused("cannot write", "run", tmp_path / "d.bridge", "-e", "aten", *inputs, "--save-state", nowhere)


def _other(folder: Path) -> Path:
    STATE_FILES.write(folder / "other.safetensors", {"x": np.zeros(1)})
    return folder / "other.safetensors"
