"""A copy of the tree for a test that edits it: what a change takes, in lines and files, and what it does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("bridge", "lowering", "runtime")


class Scratch:
    """The product's packages in a folder. `tests` stays the repository's, unless its files are copied too.

    `added`: by file, how many lines edits have added that are not blank.
    """

    def __init__(self, folder: Path, *tests: str) -> None:
        self.folder = folder
        self.added: dict[str, int] = {}
        for package in PRODUCT:
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in tests:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)

    def insert(self, name: str, before: str, lines: str) -> None:
        """Put lines before the only place of a text in a file."""
        self._put(name, before, lines + before)
        self._count(name, lines)

    def remove(self, name: str, lines: str) -> None:
        """Take lines out of a file that has them once."""
        self._put(name, lines, "")

    def append(self, name: str, lines: str) -> None:
        """Put lines at the end of a file."""
        path = self.folder / name
        path.write_text(path.read_text() + lines)
        self._count(name, lines)

    def write(self, name: str, text: str) -> None:
        """Make a new file."""
        path = self.folder / name
        assert not path.exists(), name
        path.write_text(text)

    def run(self, *words: str) -> str:
        """What a Python process over the copy prints; it must succeed."""
        done = self.attempt(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A Python process over the copy, whatever comes of it."""
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def _put(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} has {text.count(old)} times: {old}"
        path.write_text(text.replace(old, new))

    def _count(self, name: str, lines: str) -> None:
        self.added[name] = self.added.get(name, 0) + sum(bool(line.strip()) for line in lines.splitlines())
