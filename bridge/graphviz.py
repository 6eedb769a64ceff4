"""DOT drawn as SVG or PNG, by Graphviz in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

from bridge.errors import BridgeError, UsageError, first_line

_PROGRAM = "graphviz-pure"
# A graph of 10,000 boxes takes minutes, and one that crosses itself everywhere longer.
_PATIENCE_S = 300.0


def drawn(dot: str, form: str) -> bytes:
    """The picture that `dot` describes, as `svg` or `png`.

    Raises UsageError where the extra `visual` is not installed, BridgeError where Graphviz fails.
    """
    program = shutil.which(_PROGRAM, path=sysconfig.get_path("scripts")) or shutil.which(_PROGRAM)
    if program is None:
        raise UsageError(
            f"{form.upper()} needs {_PROGRAM}, which is not installed: pip install 'bridge[visual]'"
        )
    try:
        done = subprocess.run(
            [program, f"-T{form}"], input=dot.encode(), capture_output=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        raise BridgeError(f"drawing took more than {_PATIENCE_S:g} s; --max-nodes asks for less") from None
    if done.returncode or not done.stdout:
        said = first_line(RuntimeError(done.stderr.decode(errors="replace")))
        raise BridgeError(f"{_PROGRAM} cannot draw the graph: {said}")
    return done.stdout
