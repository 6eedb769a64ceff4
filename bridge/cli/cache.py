"""`bridge cache`: where compiled code is kept, how much there is, and its removal."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from bridge.cli.options import Json, print_json
from bridge.compile_cache import CompileCache, Usage, open_cache
from bridge.errors import UsageError


def command(
    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that is kept.")] = False,
    as_json: Json = False,
) -> None:
    """Say where compiled code is kept between processes, and how much; or remove it."""
    cache = open_cache()
    found = _look(cache, clear)
    if as_json:
        print_json(_described(cache, found, clear))
        return
    size = f"{found.entries} {'entry' if found.entries == 1 else 'entries'}, {found.bytes / 1e6:.1f} MB"
    if cache.folder is None:
        print("no folder: this user has no home; BRIDGE_CACHE_DIR gives one")
    elif clear:
        print(f"{cache.folder}: removed {size}")
    elif cache.limit:
        print(f"{cache.folder}: {size} of {cache.limit / 1e6:.1f} MB")
    else:
        print(f"{cache.folder}: {size}; switched off by BRIDGE_CACHE_BYTES")


def _look(cache: CompileCache, clear: bool) -> Usage:
    """The folder's contents, before it is cleared if it is. Raises UsageError where that cannot be done."""
    try:
        return cache.clear() if clear else cache.usage()
    except OSError as error:
        verb = "clear" if clear else "read"
        raise UsageError(f"cannot {verb} {cache.folder}: {error.strerror or error}") from error


def _described(cache: CompileCache, found: Usage, clear: bool) -> dict[str, Any]:
    return {
        "folder": None if cache.folder is None else str(cache.folder),
        "limit": cache.limit,
        "removed" if clear else "kept": found._asdict(),
    }
