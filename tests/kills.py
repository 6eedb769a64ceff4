"""`lower` killed at random moments, again and again: `python -m tests.kills --kills 200`.

Each run is a forked child that takes two programs in turns through the command line, onto one artifact.
After each kill the artifact must be one of the two, whole. After the last, one more run must leave nothing
beside it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import bridge
from lowering.stablehlo import hlo
from tests.bridge.samples import path_of

NAMES = ("mlp", "norms")


def lower_forever(path: Path, turn: int) -> None:
    """Lower the programs in turns, from one of them on, without end and without a word."""
    from bridge.cli import main

    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    for name in itertools.cycle((*NAMES[turn:], *NAMES[:turn])):
        sys.argv = ["bridge", "lower", str(path_of(name)), "-o", str(path), "--engine", "xla"]
        try:
            main()
        except SystemExit as done:
            if done.code:
                os._exit(1)


def whole(path: Path) -> str:
    """The name of the program that lies there; raises where neither does."""
    loaded = bridge.load(path)
    for storage in loaded.weights.storages.values():
        storage.open().sum()
    programs = {name: bridge.lower(path_of(name)).program for name in NAMES}
    return next(name for name, program in programs.items() if program == loaded.program)


def main() -> None:
    """Exit status 1 where an artifact was lost or broken, or something is left."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds before a kill, at most")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    hlo.make_context()
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "a.bridge")
        bridge.lower(path_of("mlp")).save(path)
        for kill in range(given.kills):
            found[_killed(path, kill % 2, rng.random() * given.longest)] += 1
            if len(os.listdir(name)) > 3:
                sys.exit(f"kill {kill}: {os.listdir(name)} is left")
        bridge.lower(path_of("norms")).save(path)
        left = os.listdir(name)
    print(f"{given.kills} kills, seed {given.seed}: {dict(found)} found whole, {left} left at the end")
    sys.exit(0 if left == ["a.bridge"] else 1)


def _killed(path: Path, turn: int, seconds: float) -> str:
    """Start a run, kill it after so many seconds, and look at what lies there."""
    child = os.fork()
    if child == 0:
        lower_forever(path, turn)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        sys.exit("a run failed by itself")
    return whole(path)


if __name__ == "__main__":
    main()
