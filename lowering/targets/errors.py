"""The errors of a call, importable without torch."""

from __future__ import annotations

import sys
from functools import cache

from lowering.ir.errors import BridgeError
from lowering.ir.module import Check, CheckKind


class InputError(BridgeError, ValueError, TypeError):
    """A wrong argument: its name, the expected value, the actual value."""


class ExecutionError(BridgeError, RuntimeError):
    """A node failed. The message names the node, its source line and the fault. That is torch's own error on
    ATen, and the failed check of the data in a StableHLO segment."""


class ExecutionIndexError(ExecutionError, IndexError):
    """Eager's IndexError at a node, still an IndexError to the caller."""


class UnknownOperator(ExecutionError):
    """A node's operator is not registered here, or a file may not call it."""


def linear_algebra_error() -> type[ExecutionError]:
    """Eager's torch.linalg.LinAlgError at a node, still one to a caller who has imported torch.

    A caller without torch cannot name that class, and gets an ExecutionError: torch is not imported for it.
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
