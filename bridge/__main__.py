"""`python -m bridge`."""

from __future__ import annotations

import sys

from lowering.targets.packages import brings, needs


def main() -> None:
    """Run the command line; one sentence where a package of its own is missing."""
    try:
        from bridge.cli import main as run
    except ModuleNotFoundError as error:
        if not brings(error):
            raise
        sys.exit(f"bridge: the command line {needs(error)}")
    run()


if __name__ == "__main__":
    main()
