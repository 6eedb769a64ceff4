"""Whether tests notice small edits: `python -m tests.mutations`.

Each edit of the table is made in a copy of the tree, and the fast tests that mirror its file run there. They
must fail. Results are kept by the texts that they rest on, so that a run goes on where it ended, and an edit
is tried anew when its file or its tests have changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

from tests.mutations.report import write_report
from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "out" / "mutations.jsonl"

# What a tree for tests has.
_COPIED = ("bridge", "lowering", "runtime", "tests", "third_party", "docs", "pyproject.toml")
# Packages that are imported once, before a process is forked for each edit; none of ours.
_SLOW_IMPORTS = ("torch", "jax.extend.mlir", "jax.interpreters.mlir", "hypothesis", "expecttest", "pytest")
# An edit by which tests do not come to an end is noticed.
_TIMEOUT_S = 900

NOTICED, SURVIVED = "noticed", "survived"


def main(words: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(words)
    chosen = [mutation for mutation in MUTATIONS if given.only in mutation.file]
    results = _load()
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="bridge-mutations-") as folder:
            _try_all(chosen, Path(folder), results)
    missing = [mutation for mutation in MUTATIONS if _key(mutation) not in results]
    survivors = [mutation for mutation in MUTATIONS if results.get(_key(mutation)) == SURVIVED]
    for mutation in survivors:
        print(f"survives: {mutation.file}: {mutation.old.strip()!r} -> {mutation.new.strip()!r}")
    print(f"{len(MUTATIONS)} edits, {len(survivors)} survive, {len(missing)} are not tried")
    if given.report:
        if missing:
            print("the report needs all of them", file=sys.stderr)
            return 1
        write_report(ROOT / "docs" / "mutations.md", survivors)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="edits of files whose path has this text")
    parser.add_argument("--report", action="store_true", help="try none; write docs/mutations.md")
    return parser


def _load() -> dict[str, str]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return dict(json.loads(line) for line in lines)


def _key(mutation: Mutation) -> str:
    """What a result rests on: the edit, the file, and the tests."""
    whole = hashlib.sha256(f"{mutation.old}\0{mutation.new}".encode())
    for name in (mutation.file, *mutation.mirrors):
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            whole.update(file.read_bytes())
    return whole.hexdigest()


def _try_all(chosen: Iterable[Mutation], tree: Path, results: dict[str, str]) -> None:
    keys = {mutation: _key(mutation) for mutation in chosen}
    left = [mutation for mutation, key in keys.items() if key not in results]
    if not left:
        return
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    for name in _SLOW_IMPORTS:
        import_module(name)
    whole = sorted({name for mutation in left for name in mutation.mirrors})
    if _run(tree, whole) != SURVIVED:
        raise SystemExit(f"tests fail without an edit:\n{(tree / 'log').read_text()}")
    for mutation in left:
        began = time.monotonic()
        path = tree / mutation.file
        text = path.read_text()
        path.write_text(mutation.apply(text))
        try:
            found = _run(tree, mutation.mirrors)
        finally:
            path.write_text(text)
        print(f"{found:9} {time.monotonic() - began:5.0f} s  {mutation.file}: {mutation.old.strip()!r:.70}")
        sys.stdout.flush()
        results[keys[mutation]] = found
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as lines:
            lines.write(json.dumps([keys[mutation], found]) + "\n")


def _run(tree: Path, tests: Sequence[str]) -> str:
    """What becomes of the fast ones of these tests, in a process of their own."""
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = _in_child(tree, tests)
        finally:
            os._exit(status)
    end = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return NOTICED
    code = os.waitstatus_to_exitcode(status)
    if code in (0, 1, 2) or code < 0:  # pytest's: passed, failed, not to be imported; and crashes
        return NOTICED if code else SURVIVED
    raise SystemExit(f"pytest ended with {code}:\n{(tree / 'log').read_text()}")


def _in_child(tree: Path, tests: Sequence[str]) -> int:
    """The exit status of pytest over the tree; this process imports nothing else of the product."""
    os.setpgid(0, 0)
    log = os.open(tree / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(folder for folder in sys.path if Path(folder or ".").resolve() != ROOT)]
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    import pytest
    from hypothesis import HealthCheck, Phase, settings

    import lowering

    # A failing example is enough; the smallest one takes minutes.
    settings.register_profile(
        "mutations",
        phases=(Phase.explicit, Phase.generate),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )

    assert lowering.__path__[0].startswith(str(tree))
    options = (
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--no-engines",
        "--hypothesis-profile=mutations",
    )
    return int(pytest.main([*options, "-m", "not conformance and not gpu", *tests]))


if __name__ == "__main__":
    raise SystemExit(main())
