"""The family of errors that a user can act on. Its members live with the layers that raise them."""

from __future__ import annotations


class BridgeError(Exception):
    """A refusal or a failure, in one sentence: the problem, the place, the remedy.

    The command line prints it and exits with status 1. Anything else that is raised is a bug.
    """


class EngineError(BridgeError):
    """The engine could not compile or run a module. `node`: the IR node its diagnostic names, if any."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node
