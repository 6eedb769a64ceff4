"""A digest of the sources that turn a module into a binary, found by following imports.

The code of a pass or a compiler's wrapper may change while its name and the engine's version do not. Nobody
has to list the files: an import is what makes one file depend on another.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Container, Iterable
from functools import cache

import lowering
from lowering.stablehlo.passes import module_of
from lowering.targets.target import Engine, TargetOptions

_ROOT = os.path.abspath(lowering.__path__[0])
# `from lowering.a import b, c`, the names perhaps in parentheses and over several lines; `import lowering.a`.
# Each pattern begins with plain text, which is what makes a search fast.
_FROM = re.compile(rb"from (lowering[\w.]*) import (\([^)]*\)|[^\n]*)")
_IMPORT = re.compile(rb"import (lowering[\w.]*)")
_NAME = re.compile(rb"\w+")
# Imports for types alone do not run.
_TYPES = re.compile(rb"if TYPE_CHECKING:\n(?:(?:[ \t][^\n]*)?\n)+")


def digest(engine: Engine, target: TargetOptions) -> str:
    """Of the engine's module, of the passes of its pipeline, and of all of Bridge that they import."""
    passes = (module_of(item.name) for item in engine.pipeline(target).passes)
    return _digest((type(engine).__module__, *sorted(passes)))


@cache
def _digest(roots: tuple[str, ...]) -> str:
    files = _files()
    return digest_of(reached(roots, files, lambda name: _read(files[name])))


def digest_of(found: dict[str, bytes]) -> str:
    """One digest of modules and their contents, in any order."""
    whole = hashlib.sha256()
    for name, content in sorted(found.items()):
        whole.update(f"{name} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def reached(roots: Iterable[str], there: Container[str], read: Callable[[str], bytes]) -> dict[str, bytes]:
    """These modules and their imports, direct or not, with the packages around them, which Python runs first.

    `there`: all modules of ours, by dotted name; `read`: gives the contents of one.
    """
    found: dict[str, bytes] = {}
    left = list(roots)
    while left:
        name = left.pop()
        if name in found or name not in there:
            continue
        found[name] = read(name)
        left += [name.rpartition(".")[0], *_imports(found[name])]
    return found


def _imports(content: bytes) -> list[str]:
    """The imports of a module from `lowering`; a name imported from a package may be a module or not."""
    run = _TYPES.sub(b"", content)
    names = [match[1].decode() for match in _IMPORT.finditer(run)]
    for match in _FROM.finditer(run):
        package = match[1].decode()
        names += [package, *(f"{package}.{part.decode()}" for part in _NAME.findall(match[2]))]
    return names


def _files() -> dict[str, str]:
    """The modules of `lowering`, and the file of each."""
    found: dict[str, str] = {}
    for folder, _, names in os.walk(_ROOT):
        package = "lowering" + folder[len(_ROOT) :].replace(os.sep, ".")
        for name in names:
            if name.endswith(".py"):
                module = package if name == "__init__.py" else f"{package}.{name[:-3]}"
                found[module] = os.path.join(folder, name)
    return found


def _read(file: str) -> bytes:
    with open(file, "rb") as stream:
        return stream.read()
