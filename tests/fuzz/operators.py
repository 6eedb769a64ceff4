"""Hostile calls of every operator that a file may have ATen run: what admits one.

    python -m tests.fuzz.operators --draws 50 --seed 0
    python -m tests.fuzz.operators --draws 50 --seed 0 --shard 1/4
    python -m tests.fuzz.operators --draws 50 --seed 0 --edges

A call may return or raise. It may not crash, take longer than five seconds, return a view of memory that is
not a tensor's, touch memory outside tensors, or return what it did not compute. Where a C compiler is found,
an allocator that sets each tensor before a closed page (`guard.c`) tells of the last two. What was done is
kept in a file, and not done again. The exit status is 1 where an operator failed.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import subprocess
import sys
import warnings
import zlib
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from lowering.ir.allowed import allowed
from lowering.ir.custom_operators import schema_of
from lowering.ir.homes import HOMES, import_home
from lowering.targets.aten.arguments import checked
from lowering.targets.aten.operators import resolve
from lowering.targets.errors import UnknownOperator
from tests.fuzz.calls import Calls, calls, complete
from tests.fuzz.children import Ending, Limits, Outcome, run_cases
from tests.fuzz.edges import edge
from tests.fuzz.hostile import draw

FOUND = Path("out/fuzz/operators.jsonl")
# What a case may take; the closed pages take addresses too.
_LIMITS = Limits(seconds=5.0, memory=1 << 31)
# How many tensors of a call are looked at.
_MOST = 1000
# The seeds of calls that are right but for one thing begin so.
_EDGES = "edges "
# How many operators are tried before their results are written.
_GROUP = 40
# Results that nobody computed are what these are for, or part of what they give: what only a derivative
# takes, rows of no group, and, on torch 2.13, a polynomial of NaN.
_POLYNOMIALS = tuple(
    f"special_{name}" for name in ("chebyshev", "shifted", "hermite", "laguerre", "legendre")
)
_UNSET = ("empty", "new_empty", "resize", "_make_dep_token", "_ctc_loss", "_grouped_mm", *_POLYNOMIALS)


def candidates() -> list[str]:
    """The allowed operators that can be called here, sorted: packages need not be installed."""
    for namespace in HOMES:
        import_home(namespace)
    return [target for target in sorted(allowed()) if schema_of(target) is not None and _is_here(target)]


def _is_here(target: str) -> bool:
    try:
        resolve(target)
    except UnknownOperator:
        return False
    return True


def call(target: str, seed: str, known: Calls) -> str:
    """One hostile call. Returns `same`, or raises what the operator raises; AssertionError for a finding."""
    schema = schema_of(target)
    assert schema is not None
    operator = resolve(target)
    results = []
    # Every third call is made twice, over other memory.
    for fill in (0xA5, 0x3C) if zlib.crc32(seed.encode()) % 3 == 0 else (0xA5,):
        _fill_with(fill)
        given = (edge if seed.startswith(_EDGES) else draw)(schema, known.get(target, ()), seed)
        torch.manual_seed(0)
        with torch.no_grad():
            made = checked(target, operator, operator)(**given)
        leaves = [x for x in tree_leaves((made, given)) if isinstance(x, torch.Tensor)][:_MOST]
        for leaf in leaves:
            assert _inside(leaf), f"outside: a result {list(leaf.shape)} reaches past its memory"
        results.append([_bytes(leaf) for leaf in leaves])
    if not target.split(".")[1].startswith(_UNSET):
        assert results[0] == results[-1], "unset: a result has elements that were not computed"
    return "same"


def _inside(tensor: torch.Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.device.type == "meta" or not tensor.numel():
        return True
    steps = [(n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)]
    first, last = (tensor.storage_offset() + sum(f(0, s) for s in steps) for f in (min, max))
    return first >= 0 and (last + 1) * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _bytes(tensor: torch.Tensor) -> bytes:
    """The elements, as far as they are few."""
    if tensor.device.type == "meta" or tensor.numel() > 1 << 20:
        return b""
    if tensor.is_floating_point():
        tensor = torch.where(tensor == tensor, tensor, 0)  # a NaN has many bits
    whole = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return whole.view(torch.uint8).numpy().tobytes()


def _fill_with(byte: int) -> None:
    """What new memory holds, where the guarding allocator is there."""
    with_guard = getattr(ctypes.CDLL(None), "guard_fill", None)
    if with_guard is not None:
        ctypes.c_ubyte.in_dll(ctypes.CDLL(None), "guard_fill").value = byte


def tried(
    targets: Sequence[str], draws: int, seed: int | str, known: Calls
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operator with what its calls came to: how many `returned` and `raised`, and the `findings`."""
    cases = [(target, f"{seed} {target} {at}") for target in targets for at in range(draws)]
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"returned": 0, "raised": 0, "findings": []})
    for (target, case), outcome in run_cases(cases, lambda c: call(*c, known), _LIMITS):
        row = found[target]
        if (finding := _finding(outcome)) is not None:
            row["findings"].append([case, finding])
        else:
            row["returned" if outcome.ending is Ending.RETURNED else "raised"] += 1
    yield from found.items()


def _finding(outcome: Outcome) -> str | None:
    if outcome.ending in (Ending.CRASHED, Ending.HUNG):
        return f"{outcome.ending.value}: {outcome.detail[:300]}"
    is_ours = outcome.ending is Ending.RAISED and outcome.detail.startswith("AssertionError: ")
    own = ("AssertionError: outside", "AssertionError: unset")
    return outcome.detail if is_ours and outcome.detail.startswith(own) else None


def guarded() -> dict[str, str]:
    """An environment in which tensors lie before closed pages; as it is where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return dict(os.environ)
    library = FOUND.parent.resolve() / "guard.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("guard.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> int:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=50, help="hostile calls of each operator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", default="1/1", help="which part of the operators, such as 1/4")
    parser.add_argument("--only", nargs="*", default=[], help="targets")
    parser.add_argument(
        "--samples", action="store_true", help="start from the tests' own samples alone: quick"
    )
    parser.add_argument("--edges", action="store_true", help="calls that are right but for one thing")
    parser.add_argument("--found", type=Path, default=FOUND, help="where results are kept")
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ and (environment := guarded()).get("LD_PRELOAD"):
        os.execve(sys.executable, [sys.executable, "-m", "tests.fuzz.operators", *sys.argv[1:]], environment)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    part, parts = map(int, options.shard.split("/"))
    targets = options.only or candidates()[part - 1 :: parts]
    seed = f"{_EDGES}{options.seed}" if options.edges else options.seed
    return _report(targets, options.draws, seed, calls(not options.samples), options.found)


def _report(targets: Sequence[str], draws: int, seed: int | str, known: Calls, path: Path) -> int:
    """Try what the file does not have yet, tell of findings, and give the exit status."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {row["target"]: row for row in rows if (row["draws"], row["seed"]) == (draws, seed)}
    left = [target for target in targets if target not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    complete(known, left)
    with path.open("a") as stream:
        for start in range(0, len(left), _GROUP):
            for target, row in tried(left[start : start + _GROUP], draws, seed, known):
                done[target] = {"target": target, "draws": draws, "seed": seed, **row}
                stream.write(json.dumps(done[target]) + "\n")
            stream.flush()
    failed = [done[target] for target in targets if done[target]["findings"]]
    for row in failed:
        case, finding = row["findings"][0]
        print(f"{row['target']}: {len(row['findings'])} of {draws}, such as {case!r}: {finding[:160]}")
    idle = sum(not done[target]["returned"] for target in targets)
    print(
        f"{len(targets)} operators, {draws} calls each, seed {seed}: {len(failed)} failed, {idle} only raised"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    importlib.import_module("torch._inductor.inductor_prims")
    sys.exit(main())
