"""The databases as suites of the driver: `export`, `hop`, `eval`, `train`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.databases import examples, hops, modules
from tests.databases.judge import Case, judge
from tests.opdb.cases import Row
from tests.opdb.fingerprint import Sources


@dataclass(frozen=True)
class Cases:
    """A database whose samples are cases. `title`: what documentation calls it; `mode`: of its modules."""

    title: str
    mode: str
    names: Callable[[], list[str]]
    cases: Callable[[str], list[Case]]
    judges: Sequence[Path] = tuple(Path(__file__).parent.glob("*.py"))

    def samples(self, name: str) -> list[Any]:
        return self.cases(name)

    def run(self, case: str, sample: Any, engine: str, sources: Sources, before: Row | None) -> Row:
        row = judge(sample, engine)
        row.stamp = sources.stamp(engine, row.rules) if row.rules else ""
        return row


_MODULES = "`torch.testing._internal.common_modules.module_db`"

SUITES = {
    "export": Cases("`torch._export.db.examples`", "", examples.names, examples.cases),
    "hop": Cases("`torch.testing._internal.hop_db.hop_db`", "", hops.names, hops.cases),
    "eval": Cases(_MODULES, "eval", modules.names, partial(modules.cases, mode="eval")),
    "train": Cases(_MODULES, "train", modules.names, partial(modules.cases, mode="train")),
}
