"""Converted modules through the passes of IREE: text in, text out.

`EXPECTTEST_ACCEPT=1 python -m pytest tests/lowering/targets/iree` writes expected texts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lowering.ir.module import Module
from lowering.targets.iree.converted import Converted, converted
from tests.lowering.stablehlo.passes.through import wrapped


def function(head: str, *lines: str) -> str:
    """A module with one function, `@main`."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"module {{\n  util.func public @main{head} {{\n{body}\n  }}\n}}\n"


def text_through(
    text: str, *rewrites: Callable[..., Any], source: Module | None = None, **options: bool
) -> str:
    """The module after rewrites, verified. `source`: what it was converted from."""
    with converted(text, source or Module(b"", (), (), "m")) as subject:
        for rewrite in rewrites:
            rewrite(subject, **options)
            subject.verify()
        return wrapped(shown(subject))


def shown(subject: Converted) -> str:
    """Its text, with each map of indices where it is used."""
    return subject.mlir.operation.get_asm(use_local_scope=True)
