"""The initialiser of a binary, which packs weights: called as any other function, so that other calls go on.

IREE runs it while it links a module, and its Python binding holds Python's lock meanwhile: for BERT-base half
a second and more, in which no thread can call. A call of a function lets the lock go.
"""

from __future__ import annotations

# As a FlatBuffers string: its length, the text, a zero. IREE runs the function that is exported by this name;
# a table for debugging has the name too.
_RUN_BY_IREE = b"\x06\x00\x00\x00__init\x00"
#: The name that the function gets. It is as long.
INITIALISER = "__load"


def without_initialiser(payload: bytes) -> bytes:
    """The binary with its initialiser, if it has one, renamed to `INITIALISER`, for the caller to run."""
    return payload.replace(_RUN_BY_IREE, _RUN_BY_IREE.replace(b"__init", INITIALISER.encode()))
