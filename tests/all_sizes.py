"""Dynamic models at many sizes: `python -m tests.all_sizes`.

Each dynamic model of the zoo has one module for all its sizes. It is refined for XLA, and is one binary of
IREE. Both are called at eight sizes, the ends of the ranges among them, and compared with eager.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

import bridge
from bridge.verification.compare import compare
from bridge.verification.draw import draw_inputs, example_call
from bridge.verification.range_sizes import range_sizes
from bridge.verification.tolerances import rounding_of
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement
from lowering.ir.program import InputKind
from lowering.ir.symbols import to_text
from lowering.stablehlo.admitted import admits
from lowering.stablehlo.size_facts import OWN
from lowering.targets.iree.engine import Iree
from lowering.targets.target import CPU
from tests.dynamic_program import load_dynamic
from tests.models.every_axis import MODELS
from tests.models.registry import Entry, dynamic, models

#: At how many sizes a model is called.
COUNT = 8
_PAGE = Path(__file__).parents[1] / "docs" / "dynamic-models.md"
# How many times sizes are drawn for as many calls.
_DRAWS = 2000
# Engines compute in tiles of up to 64. A size beyond: the first of these that is allowed, of as many symbols.
_WIDE, _WIDENED = (131, 67, 96, 80, 128), 2


# Results at sizes by symbol, of inputs drawn from a seed.
Calls = Callable[[Mapping[str, int], int], list[torch.Tensor]]


class Row(NamedTuple):
    """A model at its sizes. `guards`: of its module, but for the program's own. `xla`, `iree`: the largest
    absolute difference, or what is wrong."""

    model: str
    symbols: int
    guards: tuple[str, ...]
    sizes: int
    xla: float | str
    iree: float | str

    @property
    def passed(self) -> bool:
        return not self.guards and not isinstance(self.xla, str) and not isinstance(self.iree, str)


def dynamic_models() -> dict[str, Entry]:
    """The models of the zoo whose sizes a call says, and the models of `tests.models.every_axis`."""
    return {name: models()[name] for name in dynamic()} | MODELS


def sizes_of(lowered: bridge.Lowered, module: DynamicModule) -> Iterator[dict[str, int]]:
    """Sizes that the program allows: its ranges' ends and a prime between, wide ones, then drawn ones."""
    program, example = lowered.program, lowered.example_sizes
    generator = random.Random(0)

    def allowed(sizes: dict[str, int]) -> bool:
        return admits(program, sizes) and module.admits(sizes)

    found = [dict(example)]
    found += [dict(sizes) for sizes in range_sizes(program).values() if module.admits(sizes)]
    wide = [[{**example, name: size} for size in _WIDE] for name in example]
    found += [first for tries in wide if (first := next(filter(allowed, tries), None))][-_WIDENED:]
    for _ in range(_DRAWS):
        if len(found) >= COUNT:
            break
        drawn = {name: generator.randint(1, 2 * size + 9) for name, size in example.items()}
        if drawn not in found and allowed(drawn):
            found.append(drawn)
    yield from found[:COUNT]


def attempt(name: str) -> Row:
    """One model at its sizes, on both engines. Raises BridgeError where it has no module for all of them."""
    exported = dynamic_models()[name].build().export()
    lowered = bridge.lower(exported)
    module = lowered.dynamic_module()
    guards = tuple(to_text(guard.condition) for guard in module.guards if guard.site != OWN)
    sizes = list(sizes_of(lowered, module))
    if len(lowered.plan.segments) != 1:
        return Row(name, len(module.ranges), guards, len(sizes), "several segments", "several segments")
    worst: dict[str, float | str] = {}
    for engine, calls in (("xla", lambda: _refined(lowered)), ("iree", lambda: _binary(lowered, module))):
        try:
            worst[engine] = max(_differences(lowered, exported.module(), sizes, calls()))
        except (EngineError, AssertionError) as error:
            worst[engine] = " ".join(str(error).split())
    return Row(name, len(module.ranges), guards, len(sizes), worst["xla"], worst["iree"])


def _differences(
    lowered: bridge.Lowered, eager: Any, sizes: list[dict[str, int]], call: Calls
) -> Iterator[float]:
    """The largest absolute difference of each result from eager's. AssertionError where one is too large."""
    kind = rounding_of(lowered.program)
    for seed, each in enumerate(sizes):
        args, kwargs = example_call(lowered, seed=seed, sizes=each)
        with torch.no_grad():
            wanted = tree_leaves(eager(*args, **kwargs))
        made = call(each, seed)
        assert len(made) == len(wanted), f"at {each}: {len(made)} results, eager gives {len(wanted)}"
        for got, want in zip(made, wanted, strict=True):
            found = compare("a result", got, want, kind)
            assert found.passed, f"at {each}: {found.problem}"
            yield found.error


def _refined(lowered: bridge.Lowered) -> Calls:
    """Calls of modules that are refined for their sizes, on XLA."""
    compiled = lowered.compile("xla", on_new_size="wait")

    def call(sizes: Mapping[str, int], seed: int) -> list[torch.Tensor]:
        args, kwargs = example_call(lowered, seed=seed, sizes=sizes)
        made = tree_leaves(compiled(*args, **kwargs))
        assert not compiled.report.fallbacks, str(compiled.report.fallbacks[0])
        assert not compiled.report.nodes(Placement.ATEN), "some nodes are on ATen"
        return made

    return call


def _binary(lowered: bridge.Lowered, module: DynamicModule) -> Calls:
    """Calls of IREE's binary for all sizes."""
    engine, loaded = Iree(), load_dynamic(lowered, module)
    users = [spec.name for spec in lowered.program.signature.inputs if spec.kind is InputKind.USER]
    ports = [port.name for port in module.inputs if port.weight is None and port.symbol is None]
    count = len(module.outputs) - bool(module.checks)

    def call(sizes: Mapping[str, int], seed: int) -> list[torch.Tensor]:
        given = dict(zip(users, draw_inputs(lowered.program, sizes, seed), strict=True))
        made = loaded.at(sizes)([engine.from_tensor(given[name], CPU) for name in ports])
        assert not any(engine.to_numpy(flag).any() for flag in made[count:]), f"at {sizes}: a check fails"
        return [engine.to_torch(handle) for handle in made[:count]]

    return call


def page(rows: list[Row]) -> str:
    """The table of docs/dynamic-models.md."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "jaxlib", "iree-base-compiler"))
    lines = [
        "# Dynamic models at many sizes",
        "",
        f"`python -m tests.all_sizes --report`; {versions}. {sum(row.passed for row in rows)} of {len(rows)} "
        "models passed. Each has one StableHLO module for all its sizes, without a guard but the program's "
        "own. It is called at the sizes of the example, the ends of the ranges, a prime between and drawn "
        "ones: on XLA refined for each, on IREE as one binary. The differences from eager are the largest "
        "absolute ones.",
        "",
        "| model | sizes that vary | guards | calls | xla | iree, one binary |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row.symbols, "; ".join(row.guards) or "none", row.sizes, _cell(row.xla), _cell(row.iree))
        name = row.model if row.model in MODELS else f"[{row.model}](zoo/{row.model}.md)"
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _cell(value: float | str) -> str:
    return value.replace("|", "\\|")[:200] if isinstance(value, str) else f"{value:.1e}"


def main() -> int:
    """Try models; exit status 1 if any has a guard, differs, or has no binary for all sizes."""
    parser = argparse.ArgumentParser(prog="python -m tests.all_sizes", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="default: all dynamic models")
    parser.add_argument("--report", action="store_true", help="write docs/dynamic-models.md, of all models")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.names or dynamic_models():
        rows.append(attempt(name))
        print(rows[-1], flush=True)
    if given.report and not given.names:
        _PAGE.write_text(page(rows), encoding="utf-8")
    return int(not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
