"""A process that runs cases, entry by entry of a database; it may crash or hang, and its driver sees to it.

Requests come as JSON lines on stdin, answers go as JSON lines to the descriptor that stdout was: an `at` line
before each case, a row after it, and `end` when an entry is done.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from dataclasses import asdict
from typing import Any, TextIO


def main() -> None:
    """Serve requests until stdin closes."""
    # What torch and the engines print belongs to nobody.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    import torch

    from tests.opdb.fingerprint import Sources
    from tests.opdb.suites import suite

    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    sources: dict[str, Sources] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["suite"]
        if name not in sources:
            sources[name] = Sources(suite(name).judges)
        _serve(request, sources[name], out)
        _say(out, {"end": True})


def _serve(request: dict[str, Any], sources: Any, out: TextIO) -> None:
    """Run the samples of one entry except those that are named as done."""
    from tests.opdb.cases import Row, Word, explain
    from tests.opdb.suites import suite

    name, engine = request["name"], request["engine"]
    prefix, served = f"{name}/{request['suite']}", suite(request["suite"])
    done = set(request["done"])
    before = {case: Row(**row) for case, row in request["before"].items()}
    _say(out, {"at": f"{prefix}/0"})
    try:
        found = served.samples(name)
    except Exception as error:
        reason = f"the database cannot make its samples: {explain(error)}"
        _say(out, {"row": asdict(Row(f"{prefix}/0", Word.NOT_EXPORTABLE.value, reason))})
        return
    _say(out, {"of": len(found)})
    for index, sample in enumerate(found[: request["limit"]]):
        case = f"{prefix}/{index}"
        if case in done:
            continue
        _say(out, {"at": case})
        try:
            row = served.run(case, sample, engine, sources, before.get(case))
        except Exception as error:
            row = Row(case, Word.FAILED.value, f"the driver: {explain(error)}")
        _say(out, {"row": asdict(row)})


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")


if __name__ == "__main__":
    main()
