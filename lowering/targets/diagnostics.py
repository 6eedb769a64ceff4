"""Reading MLIR's diagnostics: the first error, and the IR node it is about.

Our emission gives each operation the location `"<node>"("<file>":<line>:<column>)`. A diagnostic starts with
the file's position only, `f.py:12:0: error: ...`. The operation printed after it, with debug information on,
ends with the whole location.
"""

from __future__ import annotations

import re

_ERROR = re.compile(r"^(?P<where>.*?): error: (?P<text>.*)$", re.MULTILINE)
_NAMED = re.compile(r'"(?P<node>(?:[^"\\]|\\.)*)"\("(?P<file>(?:[^"\\]|\\.)*)":(?P<place>\d+:\d+)')
_OPERATION = re.compile(r": (%\S+ = )?\"[a-z_]+\.|: %\S+ = ")


def first_error(diagnostics: str) -> tuple[str | None, str | None]:
    """The text of the first error, without the operation it may quote, and the node its location names."""
    first = _ERROR.search(diagnostics)
    if first is None:
        return None, _node("", diagnostics)
    return _OPERATION.split(first["text"], maxsplit=1)[0], _node(first["where"], diagnostics)


def named_location(line: str) -> str | None:
    """The node that the last location of a line of MLIR names."""
    found = [match["node"] for match in _NAMED.finditer(line)]
    return _unescape(found[-1]) if found else None


def _node(where: str, diagnostics: str) -> str | None:
    """The named location that lies at `where`, else the first one."""
    found = None
    for match in _NAMED.finditer(diagnostics):
        if f"{match['file']}:{match['place']}" == where:
            return _unescape(match["node"])
        found = found or _unescape(match["node"])
    return found


def _unescape(literal: str) -> str:
    """The text of an MLIR string literal: `\\22` is a quote."""
    raw = re.sub(
        rb"\\([0-9A-Fa-f]{2}|.)",
        lambda match: bytes.fromhex(match[1].decode()) if len(match[1]) == 2 else match[1],
        literal.encode(),
    )
    return raw.decode(errors="replace")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
