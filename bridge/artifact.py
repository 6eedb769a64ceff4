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
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from bridge.binaries import Binary
from bridge.buckets import from_json as buckets_from_json
from bridge.buckets import to_json as buckets_to_json
from bridge.consistency import check_consistent
from bridge.contents import Part, file_of, methods_of
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
from bridge.module_files import dynamic_file, module_file, module_to_json, modules_from_json, preflight_file
from bridge.planned import Planned
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
from lowering.ir.module import Module
from lowering.ir.trusting import trusting_calls
from lowering.ir.weights import Weights

P = TypeVar("P", bound=Planned)

# How often a reader may find its artifact replaced, and how long it waits for a writer.
_ATTEMPTS = 256
_WAIT_S = 0.01


def save(lowered: Planned, path: Path) -> Path:
    """Write an artifact folder, replacing an artifact. Weights have the values that the program began with.

    Raises OperatorRefused for a call that no file may make, UsageError if something else is at `path`,
    ArtifactError if writing fails; then what was there is there still. The drafts of killed saves beside it
    are removed.
    """
    save_methods({"": lowered}, lowered.weights, path)
    lowered.artifact = path
    return path


def save_methods(methods: Mapping[str, Planned], weights: Weights, path: Path) -> Path:
    """The same for several programs over the same weights."""
    for lowered in methods.values():
        for problem in (*trusting_calls(lowered.program), *trusting_calls(lowered.functional)):
            raise OperatorRefused(f"cannot write {path}: {problem}")
    target = Path(os.path.realpath(path))
    try:
        put_back(target, _is_whole)
        check_target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(target, discard) as draft:
            _write_contents(methods, weights, draft)
            replace_folder(draft, target, partial(_refuse_others, path=path))
    except (OSError, WeightError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ArtifactError(f"cannot write {path}: {reason}") from error
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


class Methods(NamedTuple, Generic[P]):
    """The programs of an artifact, by method; one program alone has the name ``.

    `weights`: of all.
    """

    programs: dict[str, P]
    weights: Weights


def read(path: Path, kind: type[P], trust: bool = False) -> P:
    """Read an artifact of one program back, as a value of `kind`; see `bridge.load`.

    Imports neither torch nor jax. Raises ArtifactError naming the file for anything missing, damaged or of
    another format, UsageError for an artifact of several methods.
    """
    found = read_methods(path, kind, trust)
    if set(found.programs) != {""}:
        names = ", ".join(found.programs)
        raise UsageError(f"{path} has the methods {names}; this takes an artifact of one program")
    return found.programs[""]


def read_methods(path: Path, kind: type[P], trust: bool = False) -> Methods[P]:
    """The same of an artifact of any number of methods."""
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


def _loaded(contents: Contents, kind: type[P], trust: bool) -> Methods[P]:
    names = methods_of(contents)
    with contents:
        ours = trust or contents.is_ours()
        weights = contents.parse("weights.json", lambda table: load_weights(contents.weights, table))
        parts = {name: Part(contents, name) for name in names}
        found = {name: _read(part, kind, weights, ours) for name, part in parts.items()}
        for name, part in parts.items():
            _take_binaries(found[name], part, ours)
        contents.check_rest()
    return Methods(found, weights)


def _read(part: Part, kind: type[P], weights: Weights, ours: bool) -> P:
    program = part.parse("program.json", from_json)
    functional = part.parse("functional.json", from_json) if "functional.json" in part else program
    modules, sized = part.parse("modules.json", lambda rows: modules_from_json(part, rows, ours))
    lowered = kind(
        program,
        functional,
        part.parse("plan.json", plan_from_json),
        weights,
        part.header["not_functional"],
        part.header["bounds_checks"],
        modules,
    )
    # A stranger's modules at other sizes are made anew from the program.
    lowered.sized.update(sized if ours else {})
    if "dynamic.json" in part:
        found = part.parse(
            "dynamic.json", lambda rows: dynamic_from_json(rows, lambda index: part.read(dynamic_file(index)))
        )
        # A stranger's are made anew from the program.
        if ours:
            lowered.dynamic.update(found[0])
            lowered.at_one.update(found[1])
    if "buckets.json" in part:
        lowered.buckets = part.parse("buckets.json", buckets_from_json)
    if "tuning.json" in part:
        lowered.tuning = part.parse("tuning.json", tuning_from_json)
    try:
        check_consistent(lowered)
    except ValueError as error:
        raise ArtifactError(f"{part.folder} does not fit together: {' '.join(str(error).split())}") from error
    return lowered


def is_artifact(path: Path) -> bool:
    """Whether a path looks like an artifact: a folder with a manifest."""
    try:
        return (path / MANIFEST).is_file()
    except OSError:
        return False


def _write_contents(methods: Mapping[str, Planned], weights: Weights, folder: Path) -> None:
    (folder / "modules").mkdir()
    (folder / "binaries").mkdir()
    # The signature below is this user's.
    signed = [_write_method(lowered, folder, name) for name, lowered in methods.items()]
    write_json(folder / "weights.json", save_weights(folder / "weights.irpa", weights))
    from bridge import __version__

    torch_versions = [lowered.program.torch_version for lowered in methods.values()]
    made_by = {"bridge": __version__, "torch": torch_versions[0]}
    rows = {name: _header(lowered) for name, lowered in methods.items()}
    write_manifest(folder, {"made_by": made_by, "methods": rows}, all(signed))


def _header(lowered: Planned) -> dict[str, Any]:
    return {
        "not_functional": lowered.not_functional,
        "bounds_checks": lowered.bounds_checks,
        "binaries": {k: [b.engine, b.version, b.device] for k, b in sorted(lowered.binaries.items())},
    }


def _write_method(lowered: Planned, folder: Path, method: str) -> bool:
    """Write the files of a program. Whether all of its modules are this user's."""

    def place(name: str) -> Path:
        return folder / file_of(method, name)

    write_json(place("program.json"), to_json(lowered.program))
    if lowered.functional is not lowered.program:
        write_json(place("functional.json"), to_json(lowered.functional))
    write_json(place("plan.json"), plan_to_json(lowered.plan))
    if lowered.tuning is not None:
        write_json(place("tuning.json"), tuning_to_json(lowered.tuning))
    # A stranger's module is checked first, and written anew.
    modules = {index: _vetted(module) for index, module in lowered.modules.items()}
    signed = not any(module.foreign for module in modules.values())
    rows = [module_to_json(i, m) for i, m in sorted(modules.items())]
    # Only what this user made: see `_read`.
    sized = sorted(lowered.sized.items()) if signed else []
    rows += [{**module_to_json(i, m), "sizes": dict(at)} for (i, at), m in sized]
    write_json(place("modules.json"), rows)
    numbered = [((index, None), module) for index, module in sorted(modules.items())]
    numbered += [((index, at), module) for at, ((index, _), module) in enumerate(sized)]
    for (index, at), module in numbered:
        place(module_file(index, at)).write_bytes(module.code)
        if module.preflight is not None:
            place(preflight_file(index, at)).write_bytes(module.preflight.code)
    if lowered.example_sizes:
        dynamic = lowered.dynamic_modules()
        write_json(place("dynamic.json"), dynamic_to_json(dynamic, lowered.known_at_one()))
        for index, module in sorted(dynamic.items()):
            if isinstance(module, DynamicModule):
                place(dynamic_file(index)).write_bytes(module.code)
    if lowered.buckets:
        write_json(place("buckets.json"), buckets_to_json(lowered.buckets))
    for key, binary in sorted(lowered.binaries.items()):
        (folder / _binary_file(key)).write_bytes(binary.code)
    return signed


def _vetted(module: Module) -> Module:
    preflight = None if module.preflight is None else vetted(module.preflight)
    return replace(vetted(module), preflight=preflight)


def _take_binaries(lowered: Planned, part: Part, ours: bool) -> None:
    """Read the binaries that may run; name the others."""
    rows = part.header["binaries"]
    if not ours:
        lowered.set_aside = tuple(rows)
        return
    for key, (engine, version, device) in rows.items():
        lowered.binaries[key] = Binary(engine, version, device, part.shared(_binary_file(key)))


def _binary_file(key: str) -> str:
    return f"binaries/{key}.bin"
