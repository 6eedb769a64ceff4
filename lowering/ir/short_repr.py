"""The `repr` that fits a screen, and a notebook's text, of values that hold thousands of others."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from reprlib import Repr
from typing import Any

_MOST = 1000
#: Lines that a notebook shows.
_LINES = 200

_SHORT = Repr()
_SHORT.maxtuple = _SHORT.maxlist = _SHORT.maxdict = 4
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlevel = 3


class ShortRepr:
    """Base of a dataclass with `repr=False`: its fields, each cut, in at most 1,000 characters."""

    __slots__ = ()

    def __repr__(self) -> str:
        own: Any = self
        shown = (field.name for field in fields(own) if field.repr)
        parts = (f"{name}={_SHORT.repr(getattr(own, name))}" for name in shown)
        text = f"{type(self).__name__}({', '.join(parts)})"
        return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."


def as_html(text: str) -> str:
    """Text for a notebook's cell: the first 200 lines, escaped."""
    lines = text.splitlines()
    more = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return f"<pre>{escape(chr(10).join([*lines[:_LINES], *more]))}</pre>"
