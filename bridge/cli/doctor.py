"""`bridge doctor`: what is installed and works here, and what is missing for what."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
import typer

from bridge import __version__
from bridge.cli.options import Json, print_json
from bridge.cli.progress import working
from bridge.cli.summary import readable
from bridge.compile_cache import open_cache
from lowering.ir.errors import BridgeError
from lowering.targets import ENGINES, HOST_NAME, engines, facts, get_engine
from lowering.targets.target import DEVICES, TargetOptions


class Finding(NamedTuple):
    """A line: its subject, whether that works, and what was found or what to do."""

    subject: str
    works: bool
    text: str


# Packages and what they are for.
_PACKAGES = {
    "numpy": "everything",
    "torch": "models in memory, operators on ATen, verify",
    "jax": "StableHLO",
    "jaxlib": "StableHLO",
    "safetensors": "weights of .safetensors files",
}


def command(as_json: Json = False) -> None:
    """Show versions, engines, devices and caches; exit status 1 if no engine works."""
    with working("looking at this machine"):
        findings = [*_machine(), *_packages(), *_engines(), *_cache()]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            print(f"{'ok' if finding.works else '--'}  {finding.subject}: {finding.text}")
    if not any(f.works for f in findings if f.subject.startswith("engine ")):
        raise typer.Exit(1)


def _machine() -> Iterator[Finding]:
    from lowering.host.machine import cores
    from lowering.host.processor import processor

    yield Finding("bridge", True, f"{__version__}, Python {platform.python_version()}")
    found = processor()
    has = [name for name, there in (("AVX-512", found.has_avx512), ("bfloat16", found.has_bfloat16)) if there]
    text = f"{platform.machine()}, {found.name}, {cores()} cores, {', '.join(has) or 'no AVX-512'}"
    yield Finding("processor", True, text)


def _packages() -> Iterator[Finding]:
    wanted = dict(_PACKAGES)
    for engine in ENGINES:
        for names in facts(engine, "PACKAGES").values():
            wanted |= dict.fromkeys(names.split(), f"the engine {engine}")
    for name, purpose in wanted.items():
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, f"is missing; it is for {purpose}: python -m pip install {name}")


def _engines() -> Iterator[Finding]:
    for name in engines():
        for device in DEVICES:
            try:
                get_engine(name).from_tensor(np.zeros(16, np.float32), TargetOptions(device))
                yield Finding(f"engine {name} on {device}", True, "works")
            except BridgeError as problem:
                yield Finding(f"engine {name} on {device}", False, " ".join(str(problem).split())[:200])
    try:
        import torch

        yield Finding(f"engine {HOST_NAME} on cpu", True, f"torch {torch.__version__}")
    except ImportError:
        yield Finding(f"engine {HOST_NAME} on cpu", False, "torch is missing")


def _cache() -> Iterator[Finding]:
    cache = open_cache()
    if cache.folder is None or not cache.limit:
        yield Finding("compile cache", False, "is switched off: every start compiles anew")
        return
    try:
        used = cache.usage().bytes
    except OSError as problem:
        yield Finding("compile cache", False, f"{cache.folder} cannot be read: {problem.strerror}")
        return
    yield Finding("compile cache", True, f"{cache.folder}, {readable(used)} of {readable(cache.limit)}")
