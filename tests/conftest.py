"""Tests compile what they run: nothing is from a cache on disk, nor goes into the user's. None is timed.

Each pass is verified. With `--no-engines`, which `make test-fast` gives, no engine compiles.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import fast

# How long an example takes, or its making, says how busy the machine is.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-engines", action="store_true", help="leave out slow tests and those that compile on an engine"
    )
    parser.addoption(
        "--generate-reports", metavar="FOLDER", help="reports of the models of the zoo that are run"
    )


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--generate-reports")
    if folder is not None and not hasattr(config, "workerinput"):
        (Path(folder) / "findings.jsonl").unlink(missing_ok=True)
    if config.getoption("--no-engines"):
        descriptor, name = tempfile.mkstemp(prefix="bridge-engine-calls-")
        os.close(descriptor)
        fast.forbid_engines(os.environ, name)
        config.add_cleanup(lambda: os.unlink(name))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    given = config.getoption("--no-engines") and collection_path.is_relative_to(ROOT)
    return True if given and fast.leaves_out(str(collection_path.relative_to(ROOT))) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--no-engines"):
        config.hook.pytest_deselected(items=[item for item in items if fast.leaves_out(item.nodeid)])
        items[:] = [item for item in items if not fast.leaves_out(item.nodeid)]


@pytest.fixture(autouse=True)
def engine_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--no-engines`, a test that has an engine compile fails, even where it catches what is raised."""
    if not request.config.getoption("--no-engines"):
        yield
        return
    before = fast.engine_calls()
    yield
    assert fast.engine_calls() == before, "an engine was to compile: tests/fast.py should leave this test out"


@pytest.fixture(scope="session", autouse=True)
def no_compile_cache() -> Iterator[None]:
    """The compile cache is off, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_CACHE_BYTES", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def verified_passes() -> Iterator[None]:
    """A pipeline verifies its subject after each pass, in this process and in those it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRIDGE_VERIFY_PASSES", "1")
        yield
