"""Environments that have some of the packages of this one, and no others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

#: Code for the head of a program: as where IREE's runtime is installed, and no compiler, jax or torch.
RUNTIME_ALONE = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "jax", "jaxlib") or name.startswith("iree.compiler"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
"""


def environment(folder: Path, *names: str) -> Path:
    """The Python of a new environment that has these packages, what they require, and nothing else.

    The packages are links to the files of this environment's.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in _required(names):
        found = distribution(name)
        # Scripts, which lie elsewhere, have this environment's Python in their first line.
        for file in (file for file in found.files or () if ".." not in file.parts):
            link = site / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(str(found.locate_file(file))).resolve())
    return folder / "bin" / "python"


def _required(names: tuple[str, ...]) -> Iterator[str]:
    """These packages and all that they require."""
    left, found = list(names), set[str]()
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        yield name
        wanted = map(Requirement, distribution(name).requires or ())
        left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
