"""A server: threads call one BERT at many lengths while binaries are compiled: `python -m tests.serving`.

Every call is compared with eager's results. The lengths come in a random order, to all threads. They are
called twice: with nothing compiled behind the calls, which is a tier's own time under this load, and then as
a server runs. Last, the hot lengths are called until they have executables of their own.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

import bridge
from bridge.verification.compare import compare
from bridge.verification.tolerances import rounding_of
from lowering.host.background import Work
from lowering.host.machine import memory
from lowering.stablehlo.refine import refined
from runtime import specialisations
from runtime.step import MEMORY_SHARE
from tests.growth import resident
from tests.models.model import Model, tokens
from tests.models.registry import models

ENGINES = ("iree", "xla")
#: The longest call, as a multiple of its tier's own time at that length under the same load.
MOST_LONGER = 3.0
#: A call at a hot length, as a multiple of one whose executable was compiled beforehand.
MOST_HOT = 1.1
#: Seconds of the processor that it takes to refine the module for a new length.
MOST_REFINING = 0.15
# Of a call's values, of code, of the C library's free lists.
_SLACK = 256 << 20
_VOCABULARY = {True: 99, False: 30522}


class Bound(NamedTuple):
    """A row of the table: what was measured, and the most that it may be."""

    name: str
    found: float
    most: float
    unit: str = ""

    @property
    def holds(self) -> bool:
        return self.found <= self.most


class Expected(NamedTuple):
    """The tokens of a call, and eager's results."""

    given: torch.Tensor
    results: list[torch.Tensor]


class _Text(torch.nn.Module):
    """A model of one sentence of token ids, int64 [1, length]."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.module(input_ids)


def bert(small: bool, longest: int) -> Model:
    """A BERT of one sentence of any length up to `longest`."""
    length = torch.export.Dim("length", min=2, max=longest)
    module = _Text(models()["bert-base"].build(small).module)
    return Model(module, (((tokens(_VOCABULARY[small], 7),), {}),), ({1: length},))


def eager(model: Model, lengths: Iterable[int], vocabulary: int) -> dict[int, Expected]:
    """Calls of these lengths, and their results."""
    found: dict[int, Expected] = {}
    with torch.no_grad():
        for length in lengths:
            given = tokens(vocabulary, length, seed=length)
            found[length] = Expected(given, list(model.module(given)))
    return found


class Traffic:
    """Calls of one compiled program from several threads. `seconds`: the longest call at each length."""

    def __init__(self, compiled: bridge.Compiled, expected: dict[int, Expected], kind: Any) -> None:
        self._compiled = compiled
        self._expected = expected
        self._kind = kind
        self.seconds: dict[int, float] = {}

    def run(self, order: Sequence[int], threads: int) -> None:
        """Call at these lengths, each thread taking the next. Raises AssertionError for another result."""
        with ThreadPoolExecutor(threads) as pool:
            for length, seconds in zip(order, pool.map(self._call, order), strict=True):
                self.seconds[length] = max(seconds, self.seconds.get(length, 0.0))

    def _call(self, length: int) -> float:
        given, wanted = self._expected[length]
        start = time.perf_counter()
        results = self._compiled(given)
        seconds = time.perf_counter() - start
        for got, want in zip(results, wanted, strict=True):
            found = compare(f"a result at length {length}", got, want, self._kind)
            assert found.passed, found.problem
        return seconds


class _Nothing:
    """Workers that leave everything undone."""

    def add(self, work: Work) -> None: ...


@contextmanager
def nothing_compiled() -> Any:
    """Calls inside have nothing compiled behind them."""
    with patch.object(specialisations, "workers", _Nothing()):
        yield


def drawn(count: int, longest: int, seed: int = 0) -> list[int]:
    """Different lengths in a random order, the ends of the range among them."""
    between = random.Random(seed).sample(range(3, longest), count - 2)
    order = [2, longest, *between]
    random.Random(seed + 1).shuffle(order)
    return order


def fastest(call: Callable[[], Any], seconds: float = 2.0) -> float:
    """The shortest of the calls that are made in these seconds."""
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end or best == float("inf"):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def refining_seconds(lowered: bridge.Lowered, lengths: Sequence[int]) -> float:
    """The least processor time, of several lengths, that refinement takes."""
    module = lowered.dynamic_module()
    (symbol,) = module.ranges
    best = float("inf")
    for length in lengths[:8]:
        start = time.thread_time()
        refined(module, {symbol: length})
        best = min(best, time.thread_time() - start)
    return best


def allowed_bytes(engine: str, model: Model) -> int:
    """How much a server may grow by: what its executables may hold, and slack.

    XLA's share one copy of the weights in the layout that they read; IREE's have one each.
    """
    weights = sum(tensor.nbytes for tensor in model.module.state_dict().values())
    return weights + _SLACK + (memory() // MEMORY_SHARE if engine == "iree" else 0)


def warmed(
    traffic: Traffic, compiled: bridge.Compiled, hot: Sequence[int], threads: int, most: float
) -> float:
    """Call at hot lengths until all calls are static; the seconds that it took, infinite after `most`."""
    start = time.perf_counter()
    while time.perf_counter() - start < most:
        before = compiled.report.tiers["static"]
        traffic.run(list(hot), threads)
        if compiled.report.tiers["static"] - before == len(hot):
            return time.perf_counter() - start
    return float("inf")


def serve(engine: str, given: argparse.Namespace) -> list[Bound]:
    """The bounds of one engine. Raises AssertionError for a result that is not eager's."""
    model = bert(given.small, given.longest)
    order = drawn(given.lengths, given.longest)
    expected = eager(model, order, _VOCABULARY[given.small])
    with TemporaryDirectory() as folder:
        lowered = bridge.lower(model.export())
        kind = rounding_of(lowered.program)
        lowered.compile(engine)
        lowered = bridge.load(lowered.save(f"{folder}/model.bridge"))
        own = Traffic(loaded(lowered, engine), expected, kind)
        with nothing_compiled():
            own.run(order[: given.threads], given.threads)
            own.seconds.clear()
            own.run(order, given.threads)
        compiled = loaded(lowered, engine)
        before = resident()
        served = Traffic(compiled, expected, kind)
        served.run(order, given.threads)
        longest = dict(served.seconds)
        hot = order[: given.hot]
        warming = warmed(served, compiled, hot, given.threads, given.warm_up)
        grown = resident() - before
        ahead = loaded(lowered, engine)
        slower: list[float] = []
        for length in hot:
            call = expected[length].given
            ahead.prepare({next(iter(lowered.dynamic_module().ranges)): length})
            slower.append(fastest(lambda call=call: compiled(call)) / fastest(lambda call=call: ahead(call)))
        ratios = {length: longest[length] / own.seconds[length] for length in order}
        worst = max(ratios, key=lambda length: ratios[length])
        assert not compiled.report.fallbacks, str(compiled.report.fallbacks[0])
        print(f"{engine}: {compiled.report.tiers}, {compiled.report.cache}")
        return [
            Bound(
                f"longest call, at length {worst}: {longest[worst]:.3f} s",
                ratios[worst],
                MOST_LONGER,
                "x",
            ),
            Bound("warm-up of the hot lengths", warming, given.warm_up, "s"),
            Bound("hot call, of one compiled before", max(slower), MOST_HOT, "x"),
            Bound("growth of resident memory", grown / 1e6, allowed_bytes(engine, model) / 1e6, "MB"),
            Bound("refinement for a new length", refining_seconds(lowered, order), MOST_REFINING, "s"),
        ]


def loaded(lowered: bridge.Lowered, engine: str) -> bridge.Compiled:
    compiled = lowered.compile(engine, on_new_size="dynamic")
    assert isinstance(compiled, bridge.Compiled)
    return compiled


def main() -> int:
    """Serve on each engine; exit status 1 if a bound fails. Bounds on seconds need a quiet machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving", description=main.__doc__)
    parser.add_argument("--engine", choices=ENGINES, action="append", help="default: all")
    parser.add_argument(
        "--small", action="store_true", help="a BERT of two layers of 32, not the published one"
    )
    parser.add_argument("--lengths", type=int, default=200, help="how many; default: 200")
    parser.add_argument("--longest", type=int, default=512, help="the longest; default: 512")
    parser.add_argument("--threads", type=int, default=8, help="default: 8")
    parser.add_argument("--hot", type=int, default=4, help="how many lengths stay hot; default: 4")
    parser.add_argument("--warm-up", type=float, default=600.0, help="seconds that it may take; default: 600")
    given = parser.parse_args()
    failed = False
    for engine in given.engine or ENGINES:
        for bound in serve(engine, given):
            failed |= not bound.holds
            word = "holds" if bound.holds else "FAILS"
            print(
                f"{engine:5} {bound.name:45} {bound.found:9.3f} {bound.unit:2} most {bound.most:9.3f}  {word}"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
