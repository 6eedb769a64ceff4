"""Where the compile cache is, and how much it holds: what the environment says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.compile_cache import DEFAULT_BYTES, CompileCache, Usage, open_cache
from bridge.errors import UsageError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({"BRIDGE_CACHE_DIR": "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/home/u"}, "/a/b"),
        ({"BRIDGE_CACHE_DIR": "", "XDG_CACHE_HOME": "/x", "HOME": "/home/u"}, "/x/bridge"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/u"}, "/x/bridge"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/u"}, "/home/u/.cache/bridge"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.cache/bridge"),
        ({"HOME": "/home/u"}, "/home/u/.cache/bridge"),
    ],
)
def test_where_it_is(given: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRIDGE_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "BRIDGE_CACHE_BYTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert open_cache() == CompileCache(Path(folder), DEFAULT_BYTES)


def test_without_a_home_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRIDGE_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    cache = open_cache()
    assert cache.folder is None
    cache.put("key", b"code")
    assert cache.get("key") is None
    assert cache.clear() == Usage(0, 0)


@pytest.mark.parametrize(
    ("text", "limit"), [("", DEFAULT_BYTES), ("0", 0), ("00", 0), ("1000", 1000), ("9" * 18, 10**18 - 1)]
)
def test_how_much_it_holds(text: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_CACHE_BYTES", text)
    assert open_cache().limit == limit


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BRIDGE_CACHE_DIR", "cache", "BRIDGE_CACHE_DIR is 'cache'; give the absolute path of a folder"),
        ("BRIDGE_CACHE_DIR", "~/cache", "BRIDGE_CACHE_DIR is '~/cache'; give the absolute path"),
        *(
            ("BRIDGE_CACHE_BYTES", value, "; give a number of bytes, 0 to switch the cache off")
            for value in ("-1", "2G", "1e9", "1_000", " 5", "٣", "9" * 19, "none")
        ),
    ],
)
def test_values_that_mean_nothing(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as raised:
        open_cache()
    assert message in str(raised.value)
    assert name in str(raised.value)


@pytest.mark.parametrize(
    ("imported", "unwanted"),
    [("bridge", "bridge.compile_cache"), ("bridge.compile_cache", "torch"), ("bridge.compile_cache", "jax")],
)
def test_imports_are_free(imported: str, unwanted: str) -> None:
    command = f"import sys, {imported}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=False).returncode == 0
