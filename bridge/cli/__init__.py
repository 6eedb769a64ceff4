"""The command line: `python -m bridge COMMAND`."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge import __version__
from bridge.cli import (
    cache,
    demo,
    doctor,
    info,
    lower,
    ops,
    passes,
    profile,
    report,
    run,
    source,
    verify,
    visualize,
)
from bridge.cli.failures import reporting
from bridge.cli.progress import set_up

app = typer.Typer(
    name="bridge",
    help="Lower PyTorch ExportedPrograms to StableHLO, run them on engines and on ATen, verify them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    lower,
    run,
    verify,
    profile,
    info,
    source,
    visualize,
    report,
    ops,
    passes,
    cache,
    doctor,
    demo,
):
    app.command(module.__name__.rpartition(".")[2])(reporting(module.command))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"bridge {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log every part of the work and its seconds.")
    ] = False,
) -> None:
    """Lower PyTorch ExportedPrograms to StableHLO, run them on engines and on ATen, verify them."""
    set_up(quiet, verbose)


def main() -> None:
    """Run the command line.

    Exit status: 0 for success, 1 with one sentence on standard error for a failure or a difference, 2 for
    unknown options.
    """
    app()
