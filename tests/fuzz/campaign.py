"""A campaign: numbered cases, tried in children, taken up where they ended; what fails is kept.

A case is a number, which is its seed: the same number is the same case. Progress and findings are in a
folder: `progress-I-N-SEED.json` for each shard, and a file for each finding, named by its number.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bridge
from bridge.cli.summary import summary
from bridge.verification.draw import example_call
from tests.fuzz.children import Ending, Limits, Outcome, run_cases

# How many cases a child takes, and after how many the progress is written.
_BATCH = 200


def attempt(read: Callable[[], bridge.Lowered]) -> str:
    """Read a program, describe it and call it on ATen: how that ended. All but a BridgeError is a finding."""
    warnings.simplefilter("ignore")
    try:
        lowered = read()
        summary(lowered)
        args, kwargs = example_call(lowered)
        lowered.compile("aten")(*args, **kwargs)
    except bridge.BridgeError as error:
        return "refused" if str(error).strip() else "refused without a word"
    return "ran"


@dataclass(frozen=True)
class Campaign:
    """`make`: what a case is of, by its number. `act`: tries it, and returns a word on how it ended.

    `suffix`: of the files that keep findings.
    """

    name: str
    make: Callable[[int], bytes]
    act: Callable[[bytes], str]
    suffix: str
    limits: Limits = field(default_factory=Limits)

    def run(self, cases: int, folder: Path, shard: int = 0, shards: int = 1, seed: int = 0) -> Counter[str]:
        """Try the cases of a shard that are still to be tried; how all of them ended, by word."""
        folder.mkdir(parents=True, exist_ok=True)
        progress = folder / f"progress-{shard}-{shards}-{seed}.json"
        known = json.loads(progress.read_text()) if progress.exists() else {"next": shard, "ended": {}}
        ended: Counter[str] = Counter(known["ended"])
        at, began = known["next"], time.monotonic()
        while at < cases:
            numbers = [seed + number for number in range(at, min(cases, at + _BATCH * shards), shards)]
            for number, outcome in run_cases(
                numbers, lambda number: self.act(self.make(number)), self.limits
            ):
                ended[_word(outcome)] += 1
                if outcome.ending is not Ending.RETURNED:
                    self._keep(folder, number, outcome)
            at += _BATCH * shards
            progress.write_text(json.dumps({"next": at, "ended": ended}))
            pace = len(range(known["next"], at, shards)) / (time.monotonic() - began)
            print(f"{self.name}: {min(at, cases)} of {cases}, {pace:.0f} a second: {dict(ended)}", flush=True)
        return ended

    def main(self, default_cases: int) -> None:
        """The command line; exit status 1 where anything was found."""
        parser = ArgumentParser(prog=f"python -m tests.fuzz.{self.name}")
        parser.add_argument("--cases", type=int, default=default_cases)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--shard", default="0/1", help="I/N: every Nth case, from the Ith")
        parser.add_argument("--out", type=Path, default=Path("out/fuzz") / self.name)
        given = parser.parse_args()
        shard, _, shards = given.shard.partition("/")
        ended = self.run(given.cases, given.out, int(shard), int(shards or 1), given.seed)
        found = sum(count for word, count in ended.items() if word in _FINDINGS)
        print(f"{self.name}: {sum(ended.values())} cases of seed {given.seed}, {found} findings")
        sys.exit(1 if found else 0)

    def _keep(self, folder: Path, number: int, outcome: Outcome) -> None:
        (folder / f"{number}{self.suffix}").write_bytes(self.make(number))
        record: dict[str, Any] = {"case": number, "ending": outcome.ending.value, "detail": outcome.detail}
        with (folder / "findings.jsonl").open("a") as stream:
            stream.write(json.dumps(record) + "\n")


_FINDINGS = frozenset(ending.value for ending in Ending if ending is not Ending.RETURNED)


def _word(outcome: Outcome) -> str:
    return outcome.detail if outcome.ending is Ending.RETURNED else outcome.ending.value
