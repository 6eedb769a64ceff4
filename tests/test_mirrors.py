"""Tests mirror the tree: each file of `bridge/` and `runtime/` has a test file of its name, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Files whose tests stand elsewhere, because they do nothing but put others together; and where.
ELSEWHERE = {
    "bridge/__main__.py": "tests/bridge/test_cli.py",
    **{
        f"bridge/cli/{name}.py": "tests/bridge/test_cli.py"
        for name in ("failures", "info", "lower", "options", "run", "summary", "verify")
    },
    "bridge/cli/cache.py": "tests/bridge/test_compile_cache.py",
    "bridge/cli/demo.py": "tests/bridge/test_demo.py",
    "bridge/cli/ops.py": "tests/bridge/test_operators.py",
    "bridge/contents.py": "tests/bridge/test_methods.py",
    **{
        f"bridge/generation/{name}.py": "tests/bridge/generation/test_models.py"
        for name in ("caches", "decoder_only", "encoder_decoder", "export", "packages")
    },
    "bridge/module_files.py": "tests/bridge/test_artifact.py",
    "bridge/compiled/methods.py": "tests/bridge/test_methods.py",
    "bridge/consistency.py": "tests/bridge/test_damage.py",
    "bridge/dispatch.py": "tests/bridge/test_compilation.py",
    "bridge/lowered.py": "tests/bridge/test_api.py",
    "bridge/manifest.py": "tests/bridge/test_artifact.py",
    "bridge/planning.py": "tests/bridge/test_api.py",
    "bridge/planned.py": "tests/bridge/test_artifact.py",
    "bridge/segment_compiler.py": "tests/bridge/test_compilation.py",
    "bridge/tuning/candidates.py": "tests/bridge/tuning/test_search.py",
    "bridge/verification/reference.py": "tests/bridge/test_verifying.py",
    "bridge/verification/trial.py": "tests/bridge/test_verifying.py",
    "bridge/compiled/origin.py": "tests/bridge/compiled/test_compiled.py",
    "runtime/origin.py": "tests/runtime/test_step.py",
    "bridge/weight_origin.py": "tests/bridge/test_set_weights.py",
    "bridge/vetting.py": "tests/bridge/test_foreign.py",
}


def mirrored() -> dict[str, str]:
    """By file of the product, where its test file belongs."""
    files = (path for top in ("bridge", "runtime") for path in sorted((ROOT / top).rglob("*.py")))
    names = [path.relative_to(ROOT) for path in files if path.name != "__init__.py"]
    return {str(name): str("tests" / name.with_name(f"test_{name.name}")) for name in names}


@pytest.mark.parametrize(("file", "mirror"), mirrored().items())
def test_a_file_has_its_test_file(file: str, mirror: str) -> None:
    there = ELSEWHERE.get(file, mirror)
    assert (ROOT / there).is_file(), f"{file} needs {there}"
    assert file not in ELSEWHERE or not (ROOT / mirror).exists(), f"{mirror} is there: drop the exception"


def test_exceptions_are_files() -> None:
    assert ELSEWHERE.keys() <= mirrored().keys()
