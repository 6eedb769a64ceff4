"""The canonical module is for every engine: all it says is StableHLO."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "golden"
GOLDEN = [path for path in sorted(_FOLDER.glob("*.mlir.txt")) if "module @" in path.read_text()]

_OPERATION = re.compile(r'^ *(?:%[\w, %:#]+ = )?"?([a-z_]+\.[a-z_0-9]+)', re.MULTILINE)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_canonical_modules_are_portable_stablehlo(path: Path) -> None:
    """No operation is of another dialect, and none calls into a target."""
    found = set(_OPERATION.findall(path.read_text()))
    assert "func.func" in found
    assert not [name for name in found if name.split(".")[0] not in ("stablehlo", "func")]
    assert "stablehlo.custom_call" not in found
