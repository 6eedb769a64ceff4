"""Compiling with the cache on disk: what was compiled once is found by every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import bridge
from bridge import binaries, segment_compiler
from bridge.compile_cache import CompileCache, open_cache
from bridge.compiled.compiled import Compiled
from bridge.errors import UsageError
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from lowering.passes.pipeline import Observation, observed
from lowering.targets import get_engine
from tests.bridge.engines import TestEngine
from tests.bridge.samples import path_of
from tests.bridge.test_cli import ok, refused

X = torch.linspace(-1, 1, 8).reshape(2, 4)
ROOT = Path(__file__).parents[2]


class Waves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.sin() + 1).cos().exp()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CompileCache:
    """The cache switched on, in a folder of this test's."""
    monkeypatch.setenv("BRIDGE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("BRIDGE_CACHE_BYTES", str(1 << 30))
    return open_cache()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[], TestEngine]:
    """A program lowered and an engine started as a new process would."""

    def fresh() -> TestEngine:
        sizes = {"x": {0: torch.export.Dim("n", min=2, max=500)}}
        engine = TestEngine(bridge.lower(Waves(), (X,), dynamic_shapes=sizes))
        monkeypatch.setattr(segment_compiler, "get_engine", lambda name: engine)
        return engine

    return fresh


def _compile(engine: TestEngine) -> Compiled:
    compiled = engine.lowered.compile("iree", on_new_size="wait")
    assert isinstance(compiled, Compiled)
    torch.testing.assert_close(compiled(X), Waves()(X))
    return compiled


def test_what_was_compiled_once_is_not_again(
    cache: CompileCache, start: Callable[[], TestEngine], tmp_path: Path
) -> None:
    first = start()
    _compile(first)
    assert len(first.compiled) == 1
    second = start()
    compiled = _compile(second)
    assert second.compiled == []
    assert compiled.report.nodes(Placement.ATEN) == 0
    assert second.lowered.binaries == first.lowered.binaries
    second.lowered.save(tmp_path / "a.bridge")
    assert bridge.load(tmp_path / "a.bridge").binaries == first.lowered.binaries


def test_what_passes_made_under_observation_is_not_shared(
    cache: CompileCache, start: Callable[[], TestEngine]
) -> None:
    """Passes that a caller wants to see run, cached or not; what few of them made is not cached."""
    first = start()
    with observed(Observation(until=0)):
        _compile(first)
    assert cache.usage().entries == 0
    _compile(start())
    assert cache.usage().entries == 1
    second = start()
    with observed(Observation(changed=True)):
        _compile(second)
    assert len(second.compiled) == 1


def test_what_is_compiled_without_the_passes_is_not_taken_for_what_went_through_them(
    cache: CompileCache, start: Callable[[], TestEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without jax no pass runs; binaries that went through the passes elsewhere are as good there."""
    keys: list[str] = []
    for has_passes, compiled in ((False, 1), (False, 0), (True, 1), (True, 0), (False, 0)):
        monkeypatch.setattr(binaries, "has_passes", lambda here=has_passes: here)
        engine = start()
        _compile(engine)
        assert len(engine.compiled) == compiled
        keys += engine.lowered.binaries
    without, again, *through = keys
    assert without == again
    assert set(through) == set(keys) - {without}
    assert len(set(through)) == 1


def test_other_sizes_are_kept_too(cache: CompileCache, start: Callable[[], TestEngine]) -> None:
    for expected in (2, 0):
        engine = start()
        compiled = _compile(engine)
        torch.testing.assert_close(compiled(torch.ones(7, 4)), Waves()(torch.ones(7, 4)))
        assert len(engine.compiled) == expected
        assert len(engine.lowered.binaries) == 1, "an artifact keeps those of the example sizes"


def test_nothing_is_read_before_the_first_compilation(
    cache: CompileCache, start: Callable[[], TestEngine]
) -> None:
    engine = start()
    assert cache.folder is not None
    assert not cache.folder.exists()
    engine.lowered.compile("aten")
    assert not cache.folder.exists()
    _compile(engine)
    assert len(os.listdir(cache.folder)) == 1


def test_a_kept_binary_that_does_not_load_is_made_anew(
    cache: CompileCache, start: Callable[[], TestEngine]
) -> None:
    first = start()
    _compile(first)
    (key,) = first.lowered.binaries
    cache.put(key, b"of another version")
    second = start()
    compiled = _compile(second)
    assert compiled.report.nodes(Placement.ATEN) == 0
    assert len(second.compiled) == 1
    assert second.lowered.binaries[key].code == cache.get(key) == b"compiled"


def test_what_does_not_load_is_not_kept(cache: CompileCache, start: Callable[[], TestEngine]) -> None:
    for _ in range(2):
        engine = start()
        engine.at_load = lambda nodes: ("no such instruction", "exp") if "exp" in nodes else None
        compiled = _compile(engine)
        assert compiled.report.plan.reasons["exp"] == "iree: no such instruction"
        assert any("exp" in nodes for nodes in engine.compiled), "it was not found in the cache"
        assert cache.usage().entries == len(engine.lowered.binaries)


def test_a_refusal_is_not_kept(cache: CompileCache, start: Callable[[], TestEngine]) -> None:
    engine = start()
    engine.at_compile = lambda nodes: ("out of memory", None)
    assert _compile(engine).report.nodes(Placement.STABLEHLO) == 0
    assert _compile(start()).report.nodes(Placement.ATEN) == 0


def test_without_a_folder_all_is_compiled(
    cache: CompileCache, start: Callable[[], TestEngine], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    for _ in range(2):
        engine = start()
        _compile(engine)
        assert len(engine.compiled) == 1


def test_switched_off_all_is_compiled(
    cache: CompileCache, start: Callable[[], TestEngine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BRIDGE_CACHE_BYTES", "0")
    for _ in range(2):
        engine = start()
        _compile(engine)
        assert len(engine.compiled) == 1
    assert not (tmp_path / "cache").exists()


def test_a_variable_that_means_nothing_is_one_sentence(
    start: Callable[[], TestEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_CACHE_BYTES", "2G")
    with pytest.raises(UsageError, match="BRIDGE_CACHE_BYTES is '2G'; give a number of bytes"):
        start().lowered.compile("iree")
    refused("BRIDGE_CACHE_BYTES is '2G'", "cache")


@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_real_binaries(engine: str, cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_of("mlp")
    x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
    expected = bridge.lower(path).compile(engine)(x)
    assert cache.usage().entries == 1

    def refuses(*_: object) -> bytes:
        raise EngineError("it was compiled before")

    monkeypatch.setattr(type(get_engine(engine)), "compile", refuses)
    compiled = bridge.lower(path).compile(engine)
    assert compiled.report.nodes(Placement.ATEN) == 0
    np.testing.assert_array_equal(compiled(x), expected)


_CHILD = """
import sys
import bridge
from lowering.targets import get_engine

def refuses(*_):
    raise AssertionError("it was compiled before")

if len(sys.argv) > 2:
    type(get_engine("iree")).compile = refuses
bridge.lower(sys.argv[1]).compile("iree")
"""


def test_another_process_finds_it(cache: CompileCache) -> None:
    command = [sys.executable, "-c", _CHILD, str(path_of("mlp"))]
    subprocess.run(command, cwd=ROOT, check=True)
    assert cache.usage().entries == 1
    subprocess.run([*command, "again"], cwd=ROOT, check=True)


# ------------------------------------------------------------------------------------- on the command line


def test_the_command_says_what_there_is_and_clears_it(
    cache: CompileCache, start: Callable[[], TestEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = cache.limit / 1e6
    assert ok("cache") == f"{cache.folder}: 0 entries, 0.0 MB of {limit:.1f} MB\n"
    _compile(start())
    cache.put("another", bytes(150_000))
    (used, size) = cache.usage()
    assert used == 2
    assert ok("cache") == f"{cache.folder}: 2 entries, 0.2 MB of {limit:.1f} MB\n"
    data = {"folder": str(cache.folder), "limit": cache.limit}
    assert json.loads(ok("cache", "--json")) == {**data, "kept": {"entries": 2, "bytes": size}}
    assert json.loads(ok("cache", "--clear", "--json")) == {**data, "removed": {"entries": 2, "bytes": size}}
    cache.put("one", b"")
    monkeypatch.setenv("BRIDGE_CACHE_BYTES", "0")
    assert ok("cache") == f"{cache.folder}: 1 entry, 0.0 MB; switched off by BRIDGE_CACHE_BYTES\n"
    assert ok("cache", "--clear") == f"{cache.folder}: removed 1 entry, 0.0 MB\n"
    assert cache.usage().entries == 0


def test_the_command_where_there_is_no_folder(
    cache: CompileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    refused(f"cannot read {cache.folder}: Not a directory", "cache")
    refused(f"cannot clear {cache.folder}: Not a directory", "cache", "--clear")
    monkeypatch.setattr("bridge.cli.cache.open_cache", lambda: CompileCache(None, 1))
    assert ok("cache") == "no folder: this user has no home; BRIDGE_CACHE_DIR gives one\n"
    assert json.loads(ok("cache", "--json"))["folder"] is None
