"""Doctored artifacts through loading and compiling: `python -m tests.fuzz.artifacts --cases 20000`.

A case is a file of an artifact, changed, under a manifest that agrees with it: a checksum stops no attacker.
Modules, that is bytecode, and the archive of weights are among the files.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
import zipfile
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path

import torch

import bridge
from bridge.manifest import MANIFEST
from lowering.ir.bytecode import check_operations
from lowering.stablehlo import hlo
from tests.bridge.samples import lowered
from tests.fuzz.campaign import Campaign, attempt
from tests.fuzz.mutations import damaged_bytes, damaged_json

_PROGRAMS = ("mlp", "cached_attention", "tied_embedding", "mlp_dynamic", "branch", "data_dependent")


def make(number: int) -> bytes:
    """A doctored artifact, as a zip of its files."""
    rng = random.Random(number)
    files = dict(rng.choice(_samples()))
    for _ in range(rng.choice((1, 1, 1, 2))):
        name = rng.choice(list(files))
        files[name] = _damaged(name, files[name], rng)
    if rng.random() < 0.9:
        files[MANIFEST] = agreeing(files)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def _damaged(name: str, content: bytes, rng: random.Random) -> bytes:
    if name.endswith(".json") and rng.random() < 0.9:
        with suppress(ValueError):  # what was damaged before may be JSON no more
            return json.dumps(damaged_json(json.loads(content), rng)).encode()
    return damaged_bytes(content, rng)


def act(content: bytes) -> str:
    """Load an artifact with this content, read its modules' bytecode, and go on as `attempt` does."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            archive.extractall(folder)
        return attempt(lambda: _loaded(folder))


def _loaded(folder: str) -> bridge.Lowered:
    loaded = bridge.load(folder)
    for module in loaded.modules.values():
        # Damaged bytecode is refused by a ValueError, which the callers turn into a sentence.
        with suppress(ValueError):
            check_operations(module.code)
    return loaded


def agreeing(files: dict[str, bytes]) -> bytes:
    """The manifest with the sizes and checksums of the files as they are now, where it still lists files."""
    try:
        manifest = json.loads(files[MANIFEST])
        for name, content in files.items():
            if name in manifest["files"]:
                digest = hashlib.sha256(content).hexdigest()
                manifest["files"][name] = {"bytes": len(content), "digest": digest}
        return json.dumps(manifest).encode()
    except (ValueError, TypeError, KeyError):
        return files[MANIFEST]


@cache
def _samples() -> list[dict[str, bytes]]:
    found: list[dict[str, bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in _PROGRAMS:
            path = lowered(name).save(Path(folder, name))
            files = [file for file in sorted(path.rglob("*")) if file.is_file()]
            found.append({file.relative_to(path).as_posix(): file.read_bytes() for file in files})
            shutil.rmtree(path)
    return found


CAMPAIGN = Campaign("artifacts", make, act, ".zip")

if __name__ == "__main__":
    torch.set_num_threads(1)
    hlo.make_context()
    _samples()
    CAMPAIGN.main(default_cases=20_000)
