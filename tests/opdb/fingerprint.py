"""What a result rests on, as hashes: the sources that were read, and what was compiled and run.

A stamp is cheap (no export) and pessimistic: any change of the core, or of the file of a rule that the case
used, changes it. A fingerprint is exact: the program, its inputs, its modules, the engine, and the code that
runs and judges them.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bridge.lowered import Lowered
from lowering.ir.json import to_json
from lowering.stablehlo import emit
from lowering.stablehlo.registry import all_rules, rule_for
from lowering.targets import ENGINES, get_engine

ROOT = Path(__file__).parents[2]
_RULES = "lowering/stablehlo/ops"
# What compiles and runs a case once it is lowered.
_RUNNING = ("bridge/compiled", "runtime", "lowering/targets", "lowering/host", "lowering/stablehlo/passes")
_COMPILING = ("bridge/compilation.py", "bridge/dispatch.py", "bridge/segment_compiler.py")
_LOWERING = ("bridge/lowered.py", "bridge/planned.py")
_JUDGES = ("compare.py", "cases.py", "selection.py")


class Sources:
    """Hashes of the tree's sources, as they are at construction. `judges`: files that judge, besides ours."""

    def __init__(self, judges: Iterable[Path] = ()) -> None:
        engines = {name: set(ROOT.glob(f"lowering/targets/{name}/**/*.py")) for name in ENGINES}
        of_engines = set[Path]().union(*engines.values())
        # The host target runs beside every engine.
        runtime = {p for part in _RUNNING for p in ROOT.glob(f"{part}/**/*.py")} - of_engines
        lowering = {p for s in ("py", "json") for p in ROOT.glob(f"lowering/**/*.{s}")} - of_engines
        lowering -= set(ROOT.glob(f"{_RULES}/*.py"))
        judging = {ROOT / "tests/opdb" / name for name in _JUDGES}.union(judges)
        running = runtime | judging | {ROOT / name for name in _COMPILING}
        self._running = _hash_files(running)
        self._core = _hash_files(running | lowering | {ROOT / name for name in _LOWERING})
        self._engines = {name: _hash_files(files) for name, files in engines.items()}
        self._registered = _hash(sorted(all_rules()))
        self._all = _hash_files(ROOT.glob(f"{_RULES}/*.py"))
        self._modules: dict[str, str] = {}

    def stamp(self, engine: str, rules: Mapping[str, str]) -> str:
        """Of everything that a case which looked for these rules was made with."""
        targets = sorted(rules)
        used = [(target, self._module(module_of(target))) for target in targets]
        # What torch decomposes depends on which rules there are.
        registered = self._registered if any(not module_of(target) for target in targets) else ""
        return _hash([torch.__version__, self._core, self._engine(engine), registered, used])

    def stamp_of_all(self, engine: str) -> str:
        """Of every rule: for a case that did not live to tell which it used."""
        return _hash([self.stamp(engine, {}), self._all])

    def running(self, engine: str) -> str:
        """Of what runs and judges a case once it is lowered."""
        return _hash([torch.__version__, self._running, self._engine(engine)])

    def _engine(self, name: str) -> list[str]:
        return [self._engines[name], get_engine(name).version()] if name in ENGINES else [name]

    def _module(self, name: str) -> str:
        """Of a module of rules and the modules of rules that it imports."""
        if name not in self._modules:
            self._modules[name] = _hash_files(_closure(name)) if name else ""
        return self._modules[name]


def module_of(target: str) -> str:
    """The module that holds the rule of an overload; empty if there is none."""
    rule = rule_for(target)
    return rule.emit.__module__ if rule is not None else ""


@contextmanager
def recording() -> Iterator[dict[str, str]]:
    """Collects the overloads whose rules emission looks for, with the modules that have them."""
    seen: dict[str, str] = {}

    def look_up(target: str) -> Any:
        seen[target] = module_of(target)
        return rule_for(target)

    emit.rule_for = look_up
    try:
        yield seen
    finally:
        emit.rule_for = rule_for


def fingerprint(lowered: Lowered, tensors: Sequence[torch.Tensor], engine: str, sources: Sources) -> str:
    """Of a program, its inputs, its modules and its plan, and of what runs them."""
    digest = hashlib.sha256(sources.running(engine).encode())
    digest.update(json.dumps(to_json(lowered.functional)).encode())
    digest.update(repr(lowered.plan).encode() + lowered.not_functional.encode())
    for index in sorted(lowered.modules):
        digest.update(lowered.modules[index].code)
    for tensor in tensors:
        dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
        digest.update(f"{dense.dtype}{tensor.shape}{tensor.stride()}".encode())
        digest.update(dense.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


@cache
def _closure(module: str) -> frozenset[Path]:
    """The file of a module under lowering/stablehlo/ops, with the files there that it imports, and theirs."""
    files: set[Path] = set()
    left = [module]
    while left:
        path = ROOT / (left.pop().replace(".", "/") + ".py")
        if path in files or not path.is_file() or _RULES not in path.as_posix():
            continue
        files.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                left += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                left += [alias.name for alias in node.names]
    return frozenset(files)


def _hash_files(paths: Iterable[Path]) -> str:
    return _hash([(path.relative_to(ROOT).as_posix(), _meaning(path)) for path in sorted(paths)])


def _meaning(path: Path) -> str:
    """A file's text; of Python only what it does, not its comments, docstrings and line breaks."""
    if path.suffix != ".py":
        return path.read_text()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value = ast.Constant(None)
    return ast.dump(tree)


def _hash(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:32]
