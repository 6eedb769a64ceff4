"""What the driver and its workers know of a database: `suite(name)`, op_db's suites being its dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.opdb import selection
from tests.opdb.cases import Row, run_case
from tests.opdb.fingerprint import Sources


class Suite(Protocol):
    """Samples by the names of the database's entries. A case is `name/suite/index`."""

    @property
    def judges(self) -> Sequence[Path]:
        """The files that judge, besides those of this folder."""
        ...

    def samples(self, name: str) -> list[Any]:
        """The samples of an entry, the same in every process."""
        ...

    def run(self, case: str, sample: Any, engine: str, sources: Sources, before: Row | None) -> Row:
        """Take one sample all the way. `before`: what it ended in last time."""
        ...


@dataclass(frozen=True)
class Operators:
    """op_db's samples of a dtype."""

    dtype: str
    judges: Sequence[Path] = ()

    def samples(self, name: str) -> list[Any]:
        return selection.samples(name, self.dtype)

    def run(self, case: str, sample: Any, engine: str, sources: Sources, before: Row | None) -> Row:
        op = selection.database()[case.split("/")[0]].op
        return run_case(case, op, sample, engine, sources, before)


def suite(name: str) -> Suite:
    """The suite of this name."""
    if name in selection.DTYPES:
        return Operators(name)
    from tests.databases.suites import SUITES

    return SUITES[name]
