"""The compile cache: what it keeps and for how long, and what it never hands out."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import compile_cache, signing
from bridge.compile_cache import CompileCache, Usage
from lowering.host.drafts import draft_file

HEAD = 72  # the mark and the signature before the code
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> CompileCache:
    return CompileCache(tmp_path / "cache", 1 << 20)


def folder_of(cache: CompileCache) -> Path:
    assert cache.folder is not None
    return cache.folder


def entry(cache: CompileCache, key: str) -> Path:
    path = cache._path(key)
    assert path is not None
    return path


def put_aged(cache: CompileCache, key: str, code: bytes, age_s: float) -> None:
    """An entry last used so many seconds ago."""
    cache.put(key, code)
    when = time.time() - age_s
    os.utime(entry(cache, key), (when, when))


# -------------------------------------------------------------------------------------------- what it keeps


@pytest.mark.parametrize("code", [b"", b"machine code", os.urandom(1 << 18)], ids=["none", "short", "long"])
def test_what_is_put_is_got(cache: CompileCache, code: bytes) -> None:
    assert cache.get("key") is None
    cache.put("key", code)
    assert cache.get("key") == code
    assert cache.get("another key") is None
    assert cache.usage() == Usage(1, HEAD + len(code))
    assert len(os.listdir(folder_of(cache))) == 1


def test_a_later_binary_replaces_and_drop_forgets(cache: CompileCache) -> None:
    cache.put("key", b"one")
    cache.put("key", b"two")
    assert cache.get("key") == b"two"
    cache.drop("key")
    cache.drop("key")
    assert cache.get("key") is None


def test_only_the_owner_reads_it(cache: CompileCache) -> None:
    cache.put("key", b"code")
    assert stat.S_IMODE(folder_of(cache).stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(cache, "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["", "../../outside", "/outside", "a/b", ".", "x\0y", "é" * 300])
def test_no_key_leaves_the_folder(cache: CompileCache, key: str, tmp_path: Path) -> None:
    cache.put(key, b"code")
    assert cache.get(key) == b"code"
    assert os.listdir(tmp_path / "cache") == [entry(cache, key).name]
    assert os.listdir(tmp_path) == ["cache"]


def test_switched_off_it_neither_reads_nor_writes(cache: CompileCache) -> None:
    cache.put("key", b"code")
    off = CompileCache(cache.folder, 0)
    assert off.get("key") is None
    off.put("another", b"code")
    off.drop("key")
    assert off.usage() == cache.usage() == Usage(1, HEAD + 4)
    assert cache.get("key") == b"code"
    assert off.clear() == Usage(1, HEAD + 4), "what is left of earlier can be removed"


# ------------------------------------------------------------------------------------- what it never runs


def _truncated(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def _flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("length", [0, 7, 8, HEAD - 1, HEAD, HEAD + 1, HEAD + 11])
def test_a_truncated_entry_is_removed(cache: CompileCache, length: int) -> None:
    cache.put("key", b"machine code")
    _truncated(entry(cache, "key"), length)
    assert cache.get("key") is None
    assert not entry(cache, "key").exists()


@pytest.mark.parametrize("at", [*range(0, HEAD, 7), *range(HEAD, HEAD + 12)])
def test_a_damaged_entry_is_removed(cache: CompileCache, at: int) -> None:
    cache.put("key", b"machine code")
    _flipped(entry(cache, "key"), at)
    assert cache.get("key") is None
    assert not entry(cache, "key").exists()


def test_an_entry_belongs_to_its_key(cache: CompileCache) -> None:
    cache.put("one", b"code of one")
    cache.put("two", b"code of two")
    os.replace(entry(cache, "one"), entry(cache, "two"))
    assert cache.get("two") is None
    assert cache.usage().entries == 0


def test_a_signature_of_an_artifact_is_none_of_the_cache(cache: CompileCache) -> None:
    cache.put("key", b"code")
    path = entry(cache, "key")
    (digest,) = compile_cache._signed(path.name, b"code").values()
    signature = signing.sign({f"binaries/{path.stem}.bin": digest})
    path.write_bytes(b"BRIDGEC1" + signature.encode() + b"code")
    assert cache.get("key") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_could_have_written_is_removed(cache: CompileCache, mode: int) -> None:
    cache.put("key", b"code")
    entry(cache, "key").chmod(mode)
    assert cache.get("key") is None
    assert not entry(cache, "key").exists()


def test_what_others_own_is_not_run(cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("key", b"code")
    user = os.getuid()
    monkeypatch.setattr(signing, "is_ours", lambda *_: True)
    assert cache.get("key") == b"code"
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert cache.get("key") is None


def test_what_another_key_signed_is_not_run(
    cache: CompileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("key", b"code")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    signing.sign({})
    assert cache.get("key") is None
    cache.put("key", b"code of mine")
    assert cache.get("key") == b"code of mine"


def test_without_a_key_nothing_is_kept(
    cache: CompileCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    cache.put("key", b"code")
    assert not folder_of(cache).exists()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_file_is_not_read(cache: CompileCache, kind: str, tmp_path: Path) -> None:
    cache.put("key", b"code")
    path = entry(cache, "key")
    os.replace(path, tmp_path / "elsewhere")
    make = {"link": lambda: path.symlink_to(tmp_path / "elsewhere"), "folder": path.mkdir}
    make.get(kind, lambda: os.mkfifo(path))()
    assert cache.get("key") is None
    cache.put("key", b"anew")
    assert cache.get("key") == (None if kind == "folder" else b"anew")
    assert (tmp_path / "elsewhere").read_bytes().endswith(b"code"), "what a link leads to stays as it is"


# --------------------------------------------------------------------------------------------- for how long


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path, 3 * (HEAD + 100))
    for age, key in enumerate(("new", "middle", "old"), start=1):
        put_aged(cache, key, bytes(100), 1000.0 * age)
    assert cache.get("old") is not None  # and so it is the newest now
    cache.put("another", bytes(100))
    assert [cache.get(key) is not None for key in ("old", "middle", "new", "another")] == [
        True, False, True, True,
    ]  # fmt: skip
    cache.put("large", bytes(2 * (HEAD + 100)))
    assert cache.get("large") is not None
    assert cache.usage().bytes <= cache.limit


def test_what_is_larger_than_the_bound_pushes_nothing_out(tmp_path: Path) -> None:
    cache = CompileCache(tmp_path, HEAD + 100)
    cache.put("small", bytes(10))
    cache.put("large", bytes(101))
    assert cache.get("large") is None
    assert cache.get("small") == bytes(10)
    cache.put("just", bytes(100))
    assert cache.get("just") == bytes(100)


def test_the_number_of_entries_is_bounded(cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_cache, "MAX_ENTRIES", 3)
    for index in range(6):
        put_aged(cache, str(index), b"", 1000.0 - index)
    assert [cache.get(str(index)) is not None for index in range(6)] == [False] * 3 + [True] * 3


_OPERATION = st.tuples(st.sampled_from("ppgd"), st.integers(0, 5), st.integers(0, 300))


@settings(deadline=None, max_examples=60)
@given(operations=st.lists(_OPERATION, max_size=40), limit=st.integers(1, 1000))
def test_whatever_happens_it_says_the_truth_and_keeps_its_bound(
    operations: list[tuple[str, int, int]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = CompileCache(tmp_path_factory.mktemp("property"), limit)
    truth: dict[int, bytes] = {}
    for what, key, size in operations:
        if what == "p":
            truth[key] = os.urandom(size)
            cache.put(str(key), truth[key])
            if HEAD + size > limit:
                truth.pop(key)
                cache.drop(str(key))
        elif what == "d":
            cache.drop(str(key))
            truth.pop(key, None)
        else:
            assert cache.get(str(key)) in (None, truth.get(key))
        assert cache.usage().bytes <= limit


def test_half_written_files_go_once_nobody_writes_them(cache: CompileCache) -> None:
    cache.put("key", b"code")
    names = [f"{digit * 64}.compiled" for digit in "ab"]
    dead = folder_of(cache) / f".{names[0]}.{'0' * 16}"
    dead.write_bytes(b"BRID")
    with draft_file(folder_of(cache) / names[1]) as (living, _):
        cache.put("another", b"code")
        assert [dead.exists(), living.exists()] == [False, True]
        assert cache.usage().entries == 2
    dead.write_bytes(b"BRID")
    cache.clear()
    assert os.listdir(folder_of(cache)) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    names = ["notes.txt", f"{'0' * 64}.bin", f"{'0' * 63}.compiled", f"x{'0' * 64}.compiled"]
    for name in names:
        (tmp_path / name).write_bytes(bytes(1000))
    cache = CompileCache(tmp_path, HEAD + 10)
    cache.put("one", bytes(10))
    cache.put("two", bytes(10))
    assert cache.clear() == Usage(1, HEAD + 10)
    assert sorted(os.listdir(tmp_path)) == sorted(names)


# ---------------------------------------------------------------------------------------- between processes

_WRITER = """
import random, sys
from pathlib import Path
from bridge.compile_cache import CompileCache

cache, rng, hits = CompileCache(Path(sys.argv[1]), 5000), random.Random(int(sys.argv[2])), 0
for _ in range(150):
    number = rng.randrange(12)
    code = bytes([number]) * (number * 150)
    found = cache.get(str(number))
    assert found in (None, code), (number, found)
    hits += found is not None
    if found is None or rng.random() < 0.3:
        cache.put(str(number), code)
    if rng.random() < 0.02:
        cache.drop(str(number))
print(hits)
"""


def test_processes_do_not_disturb_each_other(tmp_path: Path) -> None:
    """They read, write, replace and evict the same entries; each finds what is right, or nothing."""
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "cache")]
    workers = [
        subprocess.Popen([*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    outputs = [worker.communicate(timeout=600)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert all(int(output) > 0 for output in outputs)
    cache = CompileCache(tmp_path / "cache", 5000)
    assert 0 < cache.usage().bytes <= 5000
    assert all(name.endswith(".compiled") for name in os.listdir(tmp_path / "cache"))


def test_entries_that_vanish_meanwhile_are_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CompileCache(tmp_path, 2 * (HEAD + 10))
    cache.put("one", bytes(10))
    cache.put("two", bytes(10))
    scandir = os.scandir
    vanished = [item for item in scandir(tmp_path) if item.name == entry(cache, "one").name]
    entry(cache, "one").unlink()

    def late(path: Path) -> _Scan:
        """The folder with an entry that another process evicts while this one looks."""
        return _Scan([*vanished, *scandir(path)])

    monkeypatch.setattr(os, "scandir", late)
    cache.put("both", bytes(HEAD + 20))
    monkeypatch.undo()
    assert cache.usage() == (1, cache.limit), "the other entry had to go all the same"
    assert cache.get("both") == bytes(HEAD + 20)


class _Scan(list[object]):
    """A list that can be closed, as what `os.scandir` returns."""

    def __enter__(self) -> _Scan:
        return self

    def __exit__(self, *_: object) -> None:
        return None


# ------------------------------------------------------------------------------------ where it cannot be had


@pytest.mark.parametrize("function", ["mkdir", "open", "replace", "scandir"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_no_error(
    cache: CompileCache, function: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing.sign({})  # the key is made elsewhere, and is there

    def refuses(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, refuses)
    cache.put("key", b"code")
    cache.get("key")
    monkeypatch.undo()
    left = os.listdir(folder_of(cache)) if folder_of(cache).exists() else []
    assert left == ([entry(cache, "key").name] if function == "scandir" else [])
    cache.put("key", b"code")
    assert cache.get("key") == b"code"


def test_what_is_read_only_is_read(cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("key", b"code")

    def refuses(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuses)
    assert cache.get("key") == b"code"


def test_an_interrupt_leaves_nothing_half_written(
    cache: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.put("key", b"code")
    assert os.listdir(folder_of(cache)) == []


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_one(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    cache = CompileCache(tmp_path / place, 1000)
    cache.put("key", b"code")
    assert cache.get("key") is None
    assert (tmp_path / "file").read_text() == "mine"
