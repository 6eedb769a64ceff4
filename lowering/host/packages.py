"""What is missing where a package is not installed, and what brings it."""

from __future__ import annotations

# By what is imported: what is installed.
_BRINGS = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jaxlib",
    "iree.compiler": "iree-base-compiler",
    "iree.runtime": "iree-base-runtime",
    "iree": "iree-base-compiler iree-base-runtime",
    "sklearn": "'bridge[demo]'",
    "transformers": "transformers",
}


def brings(error: ModuleNotFoundError) -> str:
    """What to install for a module that was not found; empty for one that is not a package of ours."""
    parts = (error.name or "").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_BRINGS[name] for name in names if name in _BRINGS), "")


def needs(error: ModuleNotFoundError) -> str:
    """The end of a sentence about what needs the module."""
    what = brings(error)
    how = f": pip install {what}" if what else ""
    return f"needs the package {error.name}, which is not installed{how}"
