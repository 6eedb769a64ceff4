"""What was measured, one JSON object per line, so that a run can go on where it ended."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "out" / "bench"

PACKAGES = (
    "torch", "transformers", "onnxruntime", "onnxscript", "openvino", "torch-mlir", "jaxlib",
    "iree-base-compiler", "iree-base-runtime",
)  # fmt: skip

Row = dict[str, Any]


@cache
def versions() -> dict[str, str]:
    """The packages that take part, and a digest of Bridge's sources."""
    found = {"bridge": _sources()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _sources() -> str:
    """A digest of all that decides what Bridge makes of a model."""
    digest = hashlib.sha256()
    for folder in ("bridge", "lowering", "runtime"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def machine() -> str:
    """The processor and how many cores of it there are."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {len(os.sched_getaffinity(0))} cores"


def read(table: str) -> list[Row]:
    """All rows of `out/bench/<table>.jsonl`, oldest first."""
    path = FOLDER / f"{table}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(table: str, row: Row) -> None:
    """Add a row."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{table}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def measured(table: str, key: Row, ours: Collection[str]) -> set[str]:
    """The sides that rows with this key and today's versions have. Bridge's sources count for `ours` only."""
    rows = [row for row in read(table) if all(row.get(name) == value for name, value in key.items())]
    found: set[str] = set()
    for row in rows:
        changed = {name for name, version in versions().items() if row["versions"].get(name) != version}
        if changed <= {"bridge"}:
            found |= {side for side in row["sides"] if not changed or side not in ours}
    return found
