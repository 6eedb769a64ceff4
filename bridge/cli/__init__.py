"""The command line: `python -m bridge lower | run | verify | info | ops | demo`."""

from __future__ import annotations

import os
import sys

import typer

from bridge.cli import demo, info, lower, ops, run, verify

app = typer.Typer(
    name="bridge",
    help="Lower PyTorch ExportedPrograms to StableHLO, run them on IREE, XLA and ATen, verify them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (lower, run, verify, info, ops, demo):
    app.command(module.__name__.rpartition(".")[2])(module.command)


def main() -> None:
    """Run the command line. A user's mistake is one sentence on standard error and exit status 1."""
    from bridge.cli.failures import user_errors

    try:
        with user_errors():
            app()
    except BrokenPipeError:
        # Whoever read our output has closed it; nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
