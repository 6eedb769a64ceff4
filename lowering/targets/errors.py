"""What a call can raise, importable without torch."""

from __future__ import annotations

import sys
from functools import cache

from lowering.ir.errors import BridgeError
from lowering.ir.module import Check, CheckKind


class InputError(BridgeError, ValueError, TypeError):
    """A wrong argument: which, what was expected, what came."""


class ExecutionError(BridgeError, RuntimeError):
    """A node failed. The message names the node, its source line and what was wrong: on ATen torch's own
    error, in a StableHLO segment the check of the data that does not hold."""


class ExecutionIndexError(ExecutionError, IndexError):
    """Eager's IndexError at a node, still an IndexError to the caller."""


class UnknownTarget(ExecutionError):
    """A node's target is no registered operator here, or one that a file may not call."""


def linear_algebra_error() -> type[ExecutionError]:
    """Eager's torch.linalg.LinAlgError at a node, still one to a caller who has imported torch.

    Who has not cannot name that class, and torch is not imported for it: to them it is an ExecutionError.
    """
    return _linear_algebra_error() if "torch" in sys.modules else ExecutionError


@cache
def _linear_algebra_error() -> type[ExecutionError]:
    from torch.linalg import LinAlgError  # pyright: ignore[reportAttributeAccessIssue]

    class ExecutionLinAlgError(ExecutionError, LinAlgError):
        """Eager's torch.linalg.LinAlgError at a node."""

    return ExecutionLinAlgError


def error_of(check: Check) -> ExecutionError:
    """The error of a check that does not hold."""
    match check.kind:
        case CheckKind.INDEX:
            return ExecutionIndexError(check.message)
        case CheckKind.LINEAR_ALGEBRA:
            return linear_algebra_error()(check.message)
        case CheckKind.ASSERTION:
            return ExecutionError(check.message)
