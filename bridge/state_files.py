"""States in files: `.safetensors`, by the full names of buffers."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from bridge.errors import UsageError
from lowering.frontend.state_dicts.safetensors_files import read_safetensors, write_safetensors
from lowering.host.weights import materialise


class SafetensorsStates:
    """See `bridge.compiled.state.StateFiles`."""

    def write(self, path: str | PathLike[str], values: Mapping[str, np.ndarray]) -> None:
        """Write arrays by name, all or nothing.

        Raises StateDictError for a dtype that the format lacks, UsageError for a place that cannot be
        written.
        """
        try:
            write_safetensors(Path(path), values)
        except OSError as problem:
            raise UsageError(f"cannot write {path}: {problem.strerror or problem}") from None

    def read(self, path: str | PathLike[str]) -> dict[str, np.ndarray]:
        """The arrays of a file, mapped. Raises StateDictError for one that cannot be read."""
        weights = read_safetensors(Path(path))
        return materialise(weights, weights.views)


STATE_FILES = SafetensorsStates()
