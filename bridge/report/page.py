"""The HTML file around the data: its style and its script are the files of `page/`, and nothing else runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

# In this order: each uses those before it.
_SCRIPTS = "elements layered folding picture detail explorer sections main".split()


def page(data: Mapping[str, Any]) -> str:
    """The file as text. `data`: plain data with a `title` and a `graph`, and the other sections.

    The data is JSON in an element that no browser runs, without any `<`. The page's policy names its script
    and its style by their digests: a text of the data cannot run.
    """
    script = "".join(_file(f"{name}.js") for name in _SCRIPTS)
    style = _file("style.css")
    policy = f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}"
    return Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(data["title"].encode("utf-8", "replace").decode()),
        style=style,
        script=script,
        data=_json(data),
    )


def _json(data: Mapping[str, Any]) -> str:
    """Strict JSON without markup: numbers that JSON lacks are text."""
    text = json.dumps(_finite(data), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


@cache
def _file(name: str) -> str:
    return files("bridge.report").joinpath("page", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
