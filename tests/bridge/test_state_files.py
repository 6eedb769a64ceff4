"""Files of states: what is written is read back, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from bridge.state_files import STATE_FILES

_CODE = """
import sys
from bridge.state_files import STATE_FILES
found = STATE_FILES.read(sys.argv[1])
print({name: value.tolist() for name, value in found.items()}, 'torch' in sys.modules)
"""


def test_a_file_is_read_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    STATE_FILES.write(path, {"a": np.arange(3), "b.c": np.ones((), np.float32)})
    found = subprocess.run([sys.executable, "-c", _CODE, path], capture_output=True, text=True, check=True)
    assert found.stdout == "{'a': [0, 1, 2], 'b.c': 1.0} False\n"
