"""From exceptions that are the user's to act on to one sentence and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from bridge.errors import BridgeError
from lowering.targets.packages import brings, needs

# A shell reports 128 and the signal's number for a program that a signal ended.
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def reporting(command: Callable[..., None]) -> Callable[..., None]:
    """The command, printing what the user can act on as `bridge: sentence`; bugs keep their traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BridgeError as error:
            print(f"bridge: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(1)
        except ModuleNotFoundError as error:
            if not brings(error):
                raise
            print(f"bridge: this {needs(error)}", file=sys.stderr)
            sys.exit(1)
        except MemoryError:
            print("bridge: there is not enough memory for it", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("bridge: interrupted", file=sys.stderr)
            sys.exit(_INTERRUPTED)
        except BrokenPipeError:
            # The reader has closed the pipe. The rest of the buffer must go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(_PIPE_CLOSED)

    return run
