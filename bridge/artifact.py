"""Artifacts: a folder that holds everything a lowered program needs to run, years later.

    model.bridge/
      manifest.json        the format, what made it, and the size and SHA-256 of every other file
      program.json         the program as the source had it
      functional.json      the same without in-place writes, if it differs
      plan.json            the segments and the reasons
      modules.json         the types of each module's arguments and results
      modules/segment_0.mlirbc   portable StableHLO bytecode, one per StableHLO segment
      weights.json         which entry of the archive each weight is a view of
      weights.irpa         the weights, 64-byte aligned: mapped, never copied; IREE's tools read it too
      binaries/<key>.bin   what engines compiled: a cache, rebuilt where it does not fit

It is written to a temporary folder and renamed, so that there is a whole artifact or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from bridge.errors import ArtifactError, UsageError
from bridge.lowered import Lowered
from bridge.weight_files import load_weights, save_weights
from lowering.ir.json import from_json, plan_from_json, plan_to_json, to_json
from lowering.ir.module import Module, Port
from lowering.ir.types import DType

FORMAT = 1
_MANIFEST = "manifest.json"
# No JSON file of an artifact comes near this; a larger one is not ours.
_MAX_JSON_BYTES = 1 << 30
_BINARY_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 22


def save(lowered: Lowered, path: Path) -> Path:
    """Write an artifact folder, replacing an artifact; raises UsageError if something else is there."""
    if path.exists() and not (path / _MANIFEST).is_file():
        raise UsageError(f"{path} exists and is no artifact; give another path or remove it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        staging.chmod(0o755)
        _write_contents(lowered, staging)
        _replace(staging, path)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return path


def load(path: str | PathLike[str]) -> Lowered:
    """Read an artifact back. Every file is checked against the manifest first.

    Imports neither torch nor jax. Raises ArtifactError naming the file for anything missing, damaged or of
    another format. An artifact's binaries are machine code: load artifacts only from whom you would run
    programs of.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    _check_files(folder, manifest)
    program = _parse(folder / "program.json", from_json)
    has_functional = "functional.json" in manifest["files"]
    functional = _parse(folder / "functional.json", from_json) if has_functional else program
    modules = _parse(folder / "modules.json", lambda rows: _modules_from_json(folder, rows))
    weights = _parse(folder / "weights.json", lambda rows: load_weights(folder / "weights.irpa", rows))
    binaries = {
        file.stem: file.read_bytes()
        for name in manifest["files"]
        if (file := folder / name).parent.name == "binaries" and _BINARY_NAME.fullmatch(file.stem)
    }
    plan = _parse(folder / "plan.json", plan_from_json)
    why_not = str(manifest.get("not_functional", ""))
    return Lowered(program, functional, plan, weights, why_not, modules, binaries)


def is_artifact(path: Path) -> bool:
    """Whether a path looks like an artifact: a folder with a manifest."""
    return (path / _MANIFEST).is_file()


def _write_contents(lowered: Lowered, folder: Path) -> None:
    _write_json(folder / "program.json", to_json(lowered.program))
    if lowered.functional is not lowered.program:
        _write_json(folder / "functional.json", to_json(lowered.functional))
    _write_json(folder / "plan.json", plan_to_json(lowered.plan))
    _write_json(folder / "modules.json", [_module_to_json(i, m) for i, m in sorted(lowered.modules.items())])
    (folder / "modules").mkdir()
    for index, module in sorted(lowered.modules.items()):
        (folder / _module_file(index)).write_bytes(module.code)
    _write_json(folder / "weights.json", save_weights(folder / "weights.irpa", lowered.weights))
    (folder / "binaries").mkdir()
    for key, binary in sorted(lowered.binaries.items()):
        (folder / "binaries" / f"{key}.bin").write_bytes(binary)
    from bridge import __version__

    files = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": _digest(file)}
        for file in sorted(_files_below(folder))
    }
    manifest = {
        "format": FORMAT,
        "made_by": {"bridge": __version__, "torch": lowered.program.torch_version},
        "not_functional": lowered.not_functional,
        "files": files,
    }
    _write_json(folder / _MANIFEST, manifest)


def _replace(staging: Path, path: Path) -> None:
    """Put the finished folder at `path`; what was there goes away only once the new one stands."""
    if not path.exists():
        os.rename(staging, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    os.rename(path, old / "artifact")
    try:
        os.rename(staging, path)
    except OSError:
        os.rename(old / "artifact", path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        raise ArtifactError(f"{folder} does not exist")
    if not is_artifact(folder):
        raise ArtifactError(f"{folder} is no artifact: it has no {_MANIFEST}; make one with `lower`")
    manifest = _read_json(folder / _MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ArtifactError(f"{folder / _MANIFEST} is no manifest of an artifact")
    if manifest["format"] != FORMAT:
        raise ArtifactError(
            f"{folder} has format {manifest['format']}, this version reads {FORMAT}; lower the model again"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(row, dict) for row in files.values()):
        raise ArtifactError(f"{folder / _MANIFEST} lists no files")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Every file of the manifest is there, inside the folder, of its size, with its checksum."""
    for name in ("program.json", "plan.json", "modules.json", "weights.json", "weights.irpa"):
        if name not in manifest["files"]:
            raise ArtifactError(f"{folder / _MANIFEST} does not list {name}; lower the model again")
    for name, row in manifest["files"].items():
        file = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ArtifactError(f"{folder / _MANIFEST} names {name!r}, which lies outside the artifact")
        if not file.is_file():
            raise ArtifactError(f"{file} is missing; lower the model again")
        if file.stat().st_size != row.get("bytes"):
            raise ArtifactError(
                f"{file} is damaged: it has {file.stat().st_size} bytes, the manifest says {row.get('bytes')}"
            )
        if _digest(file) != row.get("sha256"):
            raise ArtifactError(
                f"{file} is damaged: its checksum is not the manifest's; lower the model again"
            )


def _module_file(index: int) -> str:
    return f"modules/segment_{index}.mlirbc"


def _module_to_json(index: int, module: Module) -> dict[str, Any]:
    def ports(items: tuple[Port, ...]) -> list[Any]:
        return [[port.name, port.dtype.value, list(port.sizes), port.weight] for port in items]

    return {"segment": index, "name": module.name, "in": ports(module.inputs), "out": ports(module.outputs)}


def _modules_from_json(folder: Path, rows: Any) -> dict[int, Module]:
    def ports(items: Any) -> tuple[Port, ...]:
        return tuple(Port(name, DType(dtype), tuple(sizes), weight) for name, dtype, sizes, weight in items)

    modules: dict[int, Module] = {}
    for row in rows:
        index = int(row["segment"])
        code = (folder / _module_file(index)).read_bytes()
        modules[index] = Module(code, ports(row["in"]), ports(row["out"]), row["name"])
    return modules


def _parse(file: Path, reader: Callable[[Any], Any]) -> Any:
    """Read a JSON file and make sense of it; whatever does not fit is the file's fault."""
    data = _read_json(file)
    try:
        return reader(data)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OSError) as error:
        raise ArtifactError(f"{file} is not what this version writes: {error}") from error


def _read_json(file: Path) -> Any:
    try:
        if file.stat().st_size > _MAX_JSON_BYTES:
            raise ArtifactError(f"{file} is larger than any file of an artifact")
        return json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{file} cannot be read as JSON: {error}") from error


def _write_json(file: Path, data: Any) -> None:
    file.write_text(json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


def _files_below(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
