"""`bridge demo`: the main job on a network trained here, each command shown as it runs."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

import typer


def command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the files here; default: a temporary folder.")
    ] = None,
) -> None:
    """Train a small network on handwritten digits, export it, and take it through every command."""
    from bridge.demo import run_demo

    run_demo(output or Path(mkdtemp(prefix="bridge-demo-")))
