"""From exceptions that are the user's to act on to one sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bridge.errors import BridgeError
from lowering.errors import LoweringError
from runtime.engine import EngineError
from runtime.errors import ExecutionError, InputError
from runtime.weights import WeightError

_USER_ERRORS = (BridgeError, LoweringError, InputError, ExecutionError, EngineError, WeightError)


@contextmanager
def user_errors() -> Iterator[None]:
    """Print what the user can act on as `bridge: sentence`, exit with 1; bugs keep their traceback."""
    try:
        yield
    except _USER_ERRORS as error:
        print(f"bridge: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("bridge: interrupted", file=sys.stderr)
        sys.exit(130)
