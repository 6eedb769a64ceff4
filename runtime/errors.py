"""What a call can raise, importable without torch."""

from __future__ import annotations


class InputError(ValueError, TypeError):
    """A wrong argument: which, what was expected, what came."""


class ExecutionError(RuntimeError):
    """A node failed on ATen. The message names the node, its source line and torch's own error."""


class ExecutionIndexError(ExecutionError, IndexError):
    """ATen's IndexError at a node, still an IndexError to the caller."""


class UnknownTarget(ExecutionError):
    """A node's target is no registered operator here, or one that a file may not call."""
