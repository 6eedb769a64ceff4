"""The package that is not installed, and how to install it."""

from __future__ import annotations

from functools import cache

from lowering.targets import ENGINES, facts

# They bring the import of their own name.
_OWN = ("torch", "jax", "jaxlib", "transformers", "typer", "rich")


@cache
def _distributions() -> dict[str, str]:
    """The distributions to install, by the name of the import."""
    own = {"sklearn": "'bridge[demo]'"} | {name: name for name in _OWN}
    return {**own, **{name: found for engine in ENGINES for name, found in facts(engine, "PACKAGES").items()}}


def brings(error: ModuleNotFoundError) -> str:
    """The distributions that bring a missing module; empty for a module of none of them."""
    parts = (error.name or "").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_distributions()[name] for name in names if name in _distributions()), "")


def needs(error: ModuleNotFoundError) -> str:
    """The end of a sentence whose subject needs the module."""
    what = brings(error)
    how = f": pip install {what}" if what else ""
    return f"needs the package {error.name}, which is not installed{how}"
