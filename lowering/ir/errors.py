"""The family of errors that a user can act on. Its members live with the layers that raise them."""

from __future__ import annotations

from collections.abc import Sequence


class BridgeError(Exception):
    """A refusal or a failure, in one sentence: the problem, the place, the remedy.

    The command line prints it and exits with status 1. Anything else that is raised is a bug.
    """


class EngineError(BridgeError):
    """The engine could not compile or run a module. `node`: the IR node its diagnostic names, if any."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class NoCompiler(EngineError):
    """Nothing is installed that compiles for the engine; its runtime may be."""


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that is not one of `names`: the nearest, if one is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, names, 1)
    return f"; did you mean `{near[0]}`?" if near else ""
