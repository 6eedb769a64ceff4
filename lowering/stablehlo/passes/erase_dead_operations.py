"""Erase the operations whose results nothing reads."""

from __future__ import annotations

from lowering.stablehlo.passes.parsed import ParsedModule, unread


def rewrite(parsed: ParsedModule) -> None:
    for op in unread(parsed.block):
        op.erase()
