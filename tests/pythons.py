"""Reading, lowering and running under this Python, without torch: `python -m tests.pythons`.

`make test-pythons` starts it under each other Python that is supported and found, in an environment of its
own. torch is not installed there: it is not needed to lower a file or to run its artifact.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
import tempfile
from pathlib import Path

import bridge
from tests.pt2_samples import DATA_DEPENDENT, SAMPLES, check_values

ENGINES = ("iree", "xla")
WRITTEN_BY = "torch-2.13.0"


def main() -> None:
    """Raises AssertionError where a program's result is not eager's."""
    if importlib.util.find_spec("torch") is not None:
        sys.exit("torch is installed here; this is to show that it is not needed")
    # What depends on the data runs on ATen, which is torch.
    samples = [s for s in SAMPLES if s.path.parent.name == WRITTEN_BY and s.name != DATA_DEPENDENT]
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples:
            artifact = bridge.lower(sample.path).save(Path(folder, f"{sample}.bridge"))
            for engine in ENGINES:
                check_values(sample, bridge.load(artifact).compile(engine))
    print(
        f"Python {platform.python_version()}: {len(samples)} programs on {' and '.join(ENGINES)} are eager's"
    )


if __name__ == "__main__":
    main()
