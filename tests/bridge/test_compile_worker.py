"""The process that compiles behind a server's calls: what it answers, and when it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import bridge
from bridge import binaries
from bridge.compile_worker import READY, Reply, Request, answer, receive, send, serve
from lowering.ir.errors import EngineError, NoCompiler
from lowering.targets import get_engine
from lowering.targets.target import CPU
from tests.bridge.samples import path_of


@pytest.fixture(scope="module")
def lowered() -> bridge.Lowered:
    return bridge.lower(path_of("mlp_dynamic"))


def request(lowered: bridge.Lowered, **sizes: int) -> Request:
    return Request(lowered.dynamic_module(), sizes, (), "xla", CPU)


def rows(lowered: bridge.Lowered, count: int) -> dict[str, int]:
    return dict.fromkeys(lowered.example_sizes, count)


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    ends = os.pipe()
    with os.fdopen(ends[0], "rb") as source, os.fdopen(ends[1], "wb") as sink:
        yield source, sink


def test_a_module_for_all_sizes_is_made_static_and_compiled(lowered: bridge.Lowered) -> None:
    reply = answer(request(lowered, **rows(lowered, 5)))
    assert reply.module is not None
    assert [port.sizes[0] for port in reply.module.inputs if port.weight is None] == [5]
    # The same as here, so that the cache and the artifact know it by the same name.
    here = lowered.specialise(lowered.plan, lowered.plan.segments[0], rows(lowered, 5))
    assert reply.module == here
    get_engine("xla").load(reply.binary, reply.module, CPU, weights(lowered, reply))


def weights(lowered: bridge.Lowered, reply: Reply) -> Any:
    from lowering.host.weights import materialise

    assert reply.module is not None
    return materialise(lowered.weights, [p.weight for p in reply.module.inputs if p.weight is not None])


def test_a_static_module_is_compiled(lowered: bridge.Lowered) -> None:
    given = request(lowered)._replace(module=lowered.module(0))
    assert answer(given).module == lowered.module(0)


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (EngineError("no sorts", "sort_1"), Reply(None, refused=("no sorts", "sort_1"))),
        (NoCompiler("none is here"), Reply(None)),
        (ModuleNotFoundError("no jax"), Reply(None)),
    ],
)
def test_what_cannot_be_compiled(
    error: Exception, reply: Reply, lowered: bridge.Lowered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise error

    monkeypatch.setattr(binaries, "_compile", refuse)
    assert answer(request(lowered, **rows(lowered, 3))) == reply


def test_requests_are_answered_until_there_are_no_more(
    lowered: bridge.Lowered, tmp_path: Path, pipe: tuple[BinaryIO, BinaryIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_compile", lambda module, site: b"code")
    source, sink = pipe
    send(request(lowered, **rows(lowered, 4)), sink)
    sink.close()
    with (tmp_path / "replies").open("wb") as replies:
        serve(source, replies)
    with (tmp_path / "replies").open("rb") as replies:
        assert receive(replies) == READY
        assert receive(replies).binary == b"code"
        with pytest.raises(EOFError):
            receive(replies)


def test_it_ends_where_nothing_is_asked(tmp_path: Path, pipe: tuple[BinaryIO, BinaryIO]) -> None:
    with (tmp_path / "replies").open("wb") as replies:
        serve(pipe[0], replies, idle=0.01)
    assert (tmp_path / "replies").stat().st_size > 0


def test_half_a_value_is_none(tmp_path: Path) -> None:
    with (tmp_path / "value").open("wb") as stream:
        send("a value", stream)
    os.truncate(tmp_path / "value", 12)
    with (tmp_path / "value").open("rb") as stream, pytest.raises(EOFError):
        receive(stream)
