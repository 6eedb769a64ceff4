"""The command line: `python -m bridge lower | run | verify | info | ops | passes | cache | demo`."""

from __future__ import annotations

import typer

from bridge.cli import cache, demo, info, lower, ops, passes, run, verify
from bridge.cli.failures import reporting

app = typer.Typer(
    name="bridge",
    help="Lower PyTorch ExportedPrograms to StableHLO, run them on engines and on ATen, verify them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (lower, run, verify, info, ops, passes, cache, demo):
    app.command(module.__name__.rpartition(".")[2])(reporting(module.command))


def main() -> None:
    """Run the command line.

    Exit status: 0 for success, 1 with one sentence on standard error for a failure or a difference, 2 for
    unknown options.
    """
    app()
