"""This user's key signs this user's files; a key that others can read is not taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.signing import is_ours, sign

FILES = {"a": "1" * 64, "b": "2" * 64}


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "bridge" / "key"


def test_exactly_what_was_signed_is_ours(key: Path) -> None:
    signature = sign(FILES)
    assert is_ours(dict(reversed(FILES.items())), signature)
    for other in ({**FILES, "a": "3" * 64}, {"a": FILES["a"]}, {**FILES, "c": "1" * 64}):
        assert not is_ours(other, signature)
    for wrong in ("", signature[:-1], signature.upper(), "ä", None, 3):
        assert not is_ours(FILES, wrong)


def test_the_key_is_made_once_for_its_owner_alone(key: Path) -> None:
    signature = sign(FILES)
    assert key.stat().st_mode & 0o777 == 0o600
    assert sign(FILES) == signature
    key.unlink()
    assert sign(FILES) != signature
    assert not is_ours(FILES, signature)


@pytest.mark.parametrize("damage", ["readable", "short", "long"])
def test_a_key_that_is_not_one_signs_nothing(key: Path, damage: str) -> None:
    signature = sign(FILES)
    if damage == "readable":
        key.chmod(0o640)
    else:
        key.write_bytes(key.read_bytes()[:-1] if damage == "short" else key.read_bytes() + b"x")
    assert not is_ours(FILES, signature)
    assert sign(FILES) == ""


def test_where_no_key_can_be_kept_nothing_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert sign(FILES) == ""
