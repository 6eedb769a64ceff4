"""What turns a module into a binary is in the digest: each file that is run for it, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lowering.targets import get_engine
from lowering.targets.sources import _files, _read, digest, digest_of, reached
from lowering.targets.target import CPU

ROOT = Path(__file__).parents[3]
ENGINES = ("iree", "xla")

# What a pipeline's engine and passes have imported once they have run.
_RUN = """
import json, sys
from importlib import import_module
from lowering.stablehlo.passes import module_of
from lowering.targets import get_engine
from lowering.targets.target import CPU
engine = get_engine(sys.argv[1])
roots = [type(engine).__module__, *(module_of(item.name) for item in engine.pipeline(CPU).passes)]
for root in roots:
    import_module(root)
print(json.dumps([roots, [name for name in sys.modules if name.startswith("lowering.")]]))
"""


def sources(*roots: str) -> dict[str, bytes]:
    files = _files()
    return reached(roots, files, lambda name: _read(files[name]))


@pytest.mark.parametrize("name", ENGINES)
def test_all_that_is_imported_is_found(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", _RUN, name], cwd=ROOT, capture_output=True, check=True)
    roots, imported = json.loads(done.stdout)
    found = sources(*roots)
    assert set(imported) <= set(found)
    assert {"lowering.stablehlo.build.shape", f"lowering.targets.{name}.engine"} <= set(found)
    assert digest_of(found) == digest(get_engine(name), CPU)


@pytest.mark.parametrize("name", ENGINES)
def test_an_edit_of_each_file_changes_it_and_no_other_edit_does(name: str) -> None:
    engine = get_engine(name)
    before = sources(type(engine).__module__, "lowering.stablehlo.passes.weight_hoisting")
    files = _files()
    for edited in files:
        after = reached(
            (type(engine).__module__, "lowering.stablehlo.passes.weight_hoisting"),
            files,
            lambda name, edited=edited: _read(files[name]) + b"# an edit\n" * (name == edited),
        )
        assert (digest_of(after) != digest_of(before)) is (edited in before), edited
    unread = {"lowering.frontend.pt2.reader", "lowering.stablehlo.ops.matmul", "lowering.passes.partition"}
    assert unread <= set(files) - set(before)


def test_how_imports_are_written() -> None:
    modules = {
        "lowering.a": b"from lowering.b import (\n    c,\n    Name,\n)\n",
        "lowering.b": b"",
        "lowering.b.c": b"def f():\n    import lowering.d\n",
        "lowering.d": b"if TYPE_CHECKING:\n    import lowering.e\n\n    X = 1\nfrom lowering.f import g\n",
        "lowering.e": b"",
        "lowering.f": b"",
        "lowering.h": b"from lowering.a import b\n",
    }
    found = reached(["lowering.a", "tests.engine"], modules, modules.__getitem__)
    assert set(found) == {"lowering.a", "lowering.b", "lowering.b.c", "lowering.d", "lowering.f"}
