"""Artifacts: a folder that holds everything a lowered program needs to run, years later.

    model.bridge/
      manifest.json        the format, what made it, and the size and checksum of every other file
      program.json         the program as the source had it
      functional.json      the same without in-place writes, if it differs
      plan.json            the segments and the reasons
      modules.json         the types of each module's arguments and results
      modules/segment_0.mlirbc   portable StableHLO bytecode, one per StableHLO segment
      modules/segment_0_checks.mlirbc   its checks alone, for one that overwrites buffers
      dynamic.json         the modules for all sizes: their types over symbols, ranges and guards
      buckets.json         the sizes that others are padded to, if any are
      modules/segment_0_dynamic.mlirbc   portable StableHLO bytecode for all sizes
      weights.json         which entry of the archive each weight is a view of
      weights.irpa         the weights, 64-byte aligned: mapped, never copied
      tuning.json          what was measured for the engine `auto`, if it was
      binaries/<key>.bin   what engines compiled: a cache, rebuilt where it does not fit

`save` writes a folder beside the place, which then takes the place in one step. A reader finds the old
artifact or the new one, whole.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bridge.binaries import Binary
from bridge.buckets import from_json as buckets_from_json
from bridge.buckets import to_json as buckets_to_json
from bridge.consistency import check_consistent
from bridge.dynamic_modules import from_json as dynamic_from_json
from bridge.dynamic_modules import to_json as dynamic_to_json
from bridge.errors import ArtifactError, OperatorRefused, UsageError
from bridge.manifest import (
    MANIFEST,
    Contents,
    discard,
    strange_entry,
    write_json,
    write_manifest,
)
from bridge.planned import Planned, SizeKey, size_key
from bridge.replacing import put_back
from bridge.replacing import replace as replace_folder
from bridge.tuning_record import from_json as tuning_from_json
from bridge.tuning_record import to_json as tuning_to_json
from bridge.vetting import vetted
from bridge.weight_files import load_weights, save_weights
from lowering.host.drafts import draft_folder, drafts_of
from lowering.host.weights import WeightError
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.json import from_json, plan_from_json, plan_to_json, to_json
from lowering.ir.module import Check, CheckKind, Module, Port
from lowering.ir.trusting import trusting_calls
from lowering.ir.types import DType

P = TypeVar("P", bound=Planned)
Sized = dict[tuple[int, SizeKey], Module]

# How often a reader may find its artifact replaced, and how long it waits for a writer.
_ATTEMPTS = 256
_WAIT_S = 0.01


def save(lowered: Planned, path: Path) -> Path:
    """Write an artifact folder, replacing an artifact. Weights have the values that the program began with.

    Raises OperatorRefused for a call that no file may make, UsageError if something else is at `path`,
    ArtifactError if writing fails; then what was there is there still. The drafts of killed saves beside it
    are removed.
    """
    for problem in (*trusting_calls(lowered.program), *trusting_calls(lowered.functional)):
        raise OperatorRefused(f"cannot write {path}: {problem}")
    target = Path(os.path.realpath(path))
    try:
        put_back(target, _is_whole)
        check_target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(target, discard) as draft:
            _write_contents(lowered, draft)
            replace_folder(draft, target, partial(_refuse_others, path=path))
    except (OSError, WeightError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ArtifactError(f"cannot write {path}: {reason}") from error
    lowered.artifact = path
    return path


def check_target(path: Path) -> None:
    """Raise UsageError where an artifact plainly cannot be written, before anything is computed."""
    if os.path.lexists(path):
        _refuse_others(Path(os.path.realpath(path)), path)
    parent = Path(os.path.realpath(path)).parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UsageError(f"cannot write {path}: {parent} is not a folder")
    if not os.access(parent, os.W_OK):
        raise UsageError(f"cannot write {path}: the folder {parent} is not writable")


def _refuse_others(folder: Path, path: Path) -> None:
    """Raise UsageError for what is not an artifact and nothing else. `path`: where it is for the user."""
    if not is_artifact(folder):
        raise UsageError(f"{path} exists and is not an artifact; give another path or remove it")
    strange = strange_entry(folder)
    if strange == MANIFEST:
        raise UsageError(
            f"{path} exists and its {MANIFEST} is not an artifact's; give another path or remove it"
        )
    if strange is not None:
        raise UsageError(
            f"{path} has {strange!r}, which is not part of the artifact there; give another path or move it"
        )


def _is_whole(folder: Path) -> bool:
    """Whether a folder is an artifact to its last file, in sizes."""
    try:
        with closing(Contents(folder)) as contents, contents:
            contents.check_rest()
    except ArtifactError:
        return False
    return True


def read(path: Path, kind: type[P], trust: bool = False) -> P:
    """Read an artifact back, as a value of `kind`; see `bridge.load`.

    Imports neither torch nor jax. Raises ArtifactError naming the file for anything missing, damaged or of
    another format.
    """
    for _ in range(_ATTEMPTS):
        if not path.exists() and drafts_of(Path(os.path.realpath(path))):
            time.sleep(_WAIT_S)  # only where the file system cannot exchange folders
            continue
        with closing(Contents(path)) as contents:
            try:
                return _loaded(contents, kind, trust)
            except ArtifactError:
                # Its files may have gone away because another artifact has taken its place.
                if not contents.was_replaced():
                    raise
    raise ArtifactError(f"{path} cannot be read: other processes keep replacing it")


def _loaded(contents: Contents, kind: type[P], trust: bool) -> P:
    with contents:
        ours = trust or contents.is_ours()
        lowered = _read(contents, kind, ours)
        _take_binaries(lowered, contents, ours)
        contents.check_rest()
    return lowered


def _read(contents: Contents, kind: type[P], ours: bool) -> P:
    program = contents.parse("program.json", from_json)
    functional = program
    if "functional.json" in contents.files:
        functional = contents.parse("functional.json", from_json)
    why_not = contents.header.get("not_functional", "")
    bounds_checks = contents.header.get("bounds_checks", True)
    if not isinstance(why_not, str) or not isinstance(bounds_checks, bool):
        raise ArtifactError(f"{contents.folder / MANIFEST} is not the manifest of an artifact")
    modules, sized = contents.parse("modules.json", lambda rows: _modules_from_json(contents, rows, ours))
    lowered = kind(
        program,
        functional,
        contents.parse("plan.json", plan_from_json),
        contents.parse("weights.json", lambda table: load_weights(contents.weights, table)),
        why_not,
        bounds_checks,
        modules,
    )
    # A stranger's modules at other sizes are made anew from the program.
    lowered.sized.update(sized if ours else {})
    if "dynamic.json" in contents.files:
        found = contents.parse(
            "dynamic.json",
            lambda rows: dynamic_from_json(rows, lambda index: contents.read(_dynamic_file(index))),
        )
        # A stranger's are made anew from the program.
        if ours:
            lowered.dynamic.update(found[0])
            lowered.at_one.update(found[1])
    if "buckets.json" in contents.files:
        lowered.buckets = contents.parse("buckets.json", buckets_from_json)
    if "tuning.json" in contents.files:
        lowered.tuning = contents.parse("tuning.json", tuning_from_json)
    try:
        check_consistent(lowered)
    except ValueError as error:
        raise ArtifactError(
            f"{contents.folder} does not fit together: {' '.join(str(error).split())}"
        ) from error
    return lowered


def is_artifact(path: Path) -> bool:
    """Whether a path looks like an artifact: a folder with a manifest."""
    try:
        return (path / MANIFEST).is_file()
    except OSError:
        return False


def _write_contents(lowered: Planned, folder: Path) -> None:
    write_json(folder / "program.json", to_json(lowered.program))
    if lowered.functional is not lowered.program:
        write_json(folder / "functional.json", to_json(lowered.functional))
    write_json(folder / "plan.json", plan_to_json(lowered.plan))
    if lowered.tuning is not None:
        write_json(folder / "tuning.json", tuning_to_json(lowered.tuning))
    # The signature below is this user's: a stranger's module is checked first, and written anew.
    modules = {index: _vetted(module) for index, module in lowered.modules.items()}
    signed = not any(module.foreign for module in modules.values())
    rows = [_module_to_json(i, m) for i, m in sorted(modules.items())]
    # Only what this user made: see `_read`.
    sized = sorted(lowered.sized.items()) if signed else []
    rows += [{**_module_to_json(i, m), "sizes": dict(at)} for (i, at), m in sized]
    write_json(folder / "modules.json", rows)
    (folder / "modules").mkdir()
    for index, module in sorted(modules.items()):
        (folder / _module_file(index)).write_bytes(module.code)
        if module.preflight is not None:
            (folder / _preflight_file(index)).write_bytes(module.preflight.code)
    for place, ((index, _), module) in enumerate(sized):
        (folder / _module_file(index, place)).write_bytes(module.code)
        if module.preflight is not None:
            (folder / _preflight_file(index, place)).write_bytes(module.preflight.code)
    _write_dynamic(lowered, folder)
    if lowered.buckets:
        write_json(folder / "buckets.json", buckets_to_json(lowered.buckets))
    write_json(folder / "weights.json", save_weights(folder / "weights.irpa", lowered.weights))
    (folder / "binaries").mkdir()
    for key, binary in sorted(lowered.binaries.items()):
        (folder / _binary_file(key)).write_bytes(binary.code)
    from bridge import __version__

    header = {
        "made_by": {"bridge": __version__, "torch": lowered.program.torch_version},
        "not_functional": lowered.not_functional,
        "bounds_checks": lowered.bounds_checks,
        "binaries": {k: [b.engine, b.version, b.device] for k, b in sorted(lowered.binaries.items())},
    }
    write_manifest(folder, header, signed)


def _write_dynamic(lowered: Planned, folder: Path) -> None:
    modules = lowered.dynamic_modules()
    if not lowered.example_sizes:
        return
    write_json(folder / "dynamic.json", dynamic_to_json(modules, lowered.known_at_one()))
    for index, module in sorted(modules.items()):
        if isinstance(module, DynamicModule):
            (folder / _dynamic_file(index)).write_bytes(module.code)


def _vetted(module: Module) -> Module:
    preflight = None if module.preflight is None else vetted(module.preflight)
    return replace(vetted(module), preflight=preflight)


def _take_binaries(lowered: Planned, contents: Contents, ours: bool) -> None:
    """Read the binaries that may run; name the others."""
    rows = contents.header.get("binaries")
    described = isinstance(rows, dict) and all(
        isinstance(row, list) and len(row) == 3 and all(isinstance(text, str) for text in row)
        for row in rows.values()
    )
    if not isinstance(rows, dict) or not described:
        raise ArtifactError(f"{contents.folder / MANIFEST} does not describe the binaries")
    if not ours:
        lowered.set_aside = tuple(rows)
        return
    for key, row in rows.items():
        engine, version, device = row
        lowered.binaries[key] = Binary(engine, version, device, contents.read(_binary_file(key)))


def _module_file(index: int, place: int | None = None) -> str:
    """`place`: of a module for sizes that were asked for, among all of these."""
    return f"modules/segment_{index}{_place(place)}.mlirbc"


def _preflight_file(index: int, place: int | None = None) -> str:
    return f"modules/segment_{index}{_place(place)}_checks.mlirbc"


def _place(place: int | None) -> str:
    return "" if place is None else f"_at_{place}"


def _dynamic_file(index: int) -> str:
    return f"modules/segment_{index}_dynamic.mlirbc"


def _binary_file(key: str) -> str:
    return f"binaries/{key}.bin"


def _module_to_json(index: int, module: Module) -> dict[str, Any]:
    def ports(items: tuple[Port, ...]) -> list[Any]:
        return [[port.name, port.dtype.value, list(port.sizes), port.weight] for port in items]

    return {
        "segment": index,
        "name": module.name,
        "in": ports(module.inputs),
        "out": ports(module.outputs),
        "checks": [[check.kind.value, check.message] for check in module.checks],
        "donated": [list(pair) for pair in module.donated],
        "preflight": [port.name for port in module.preflight.inputs] if module.preflight else None,
    }


def _modules_from_json(contents: Contents, rows: Any, ours: bool) -> tuple[dict[int, Module], Sized]:
    """The modules at the example's sizes, and those at others."""

    def port(row: Any) -> Port:
        name, dtype, sizes, weight = row
        texts = isinstance(name, str) and (weight is None or isinstance(weight, str))
        if not texts or not isinstance(sizes, list) or not all(type(n) is int and n >= 0 for n in sizes):
            raise ValueError(f"{row!r:.200} is not a port")
        return Port(name, DType(dtype), tuple(sizes), weight)

    def check(row: Any) -> Check:
        kind, message = row
        if not isinstance(message, str):
            raise ValueError(f"{row!r:.200} is not a check")
        return Check(CheckKind(kind), message)

    def pair(row: Any) -> tuple[str, str]:
        given, made = row
        if not isinstance(given, str) or not isinstance(made, str):
            raise ValueError(f"{row!r:.200} names no input and output")
        return given, made

    def size_of(item: Any) -> tuple[str, int]:
        name, size = item
        if type(size) is not int:
            raise ValueError(f"{size!r:.200} is not a size")
        return name, size

    def preflight(index: int, place: int | None, module: Module, names: Any) -> Module | None:
        if names is None:
            return None
        known = {port.name: port for port in module.inputs}
        inputs = tuple(known[name] for name in names)
        code = contents.read(_preflight_file(index, place))
        checks = f"{module.name}_checks"
        return Module(code, inputs, module.outputs[-1:], checks, module.checks, foreign=not ours)

    modules: dict[int, Module] = {}
    sized: Sized = {}
    for row in rows:
        index, name = row["segment"], row["name"]
        at = size_key(dict(map(size_of, row["sizes"].items()))) if "sizes" in row else None
        known = (index in modules) if at is None else (index, at) in sized
        if type(index) is not int or index < 0 or known or not isinstance(name, str):
            raise ValueError(f"module {index!r:.200} has no segment and name of its own")
        place = None if at is None else len(sized)
        code = contents.read(_module_file(index, place))
        inputs, outputs = tuple(map(port, row["in"])), tuple(map(port, row["out"]))
        checks = tuple(map(check, row["checks"]))
        module = Module(code, inputs, outputs, name, checks, foreign=not ours)
        donated = tuple(map(pair, row["donated"]))
        asked = preflight(index, place, module, row["preflight"])
        module = replace(module, donated=donated, preflight=asked)
        if at is None:
            modules[index] = module
        else:
            sized[index, at] = module
    return modules, sized
