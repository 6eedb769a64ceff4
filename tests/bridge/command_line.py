"""The command line, called in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from bridge.cli import app


def bridge_cli(*words: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error. A traceback of ours fails the test."""
    # Progress comes after half a second, which a busy machine may take for anything.
    result = CliRunner().invoke(app, ["--quiet", *(str(word) for word in words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def ok(*words: object) -> str:
    status, out, err = bridge_cli(*words)
    assert status == 0, err
    assert "ERROR" not in out
    return out


def refused(message: str, *words: object, status: int = 1) -> None:
    found, out, err = bridge_cli(*words)
    assert found == status, (out, err)
    assert out == ""
    if status == 1:
        assert err.startswith("bridge: ")
        assert err.count("\n") == 1, err
    assert message in err
