"""The engine `xla`'s binaries: XLA's own of a module and of its load-time part, and the sources of arguments.

    u32 length | JSON {"inputs": [...], "load": [...], "made": [...], "bytes": [main, load]} | main | load

`inputs` has an entry for each argument of the main executable: null for a call's argument, a weight's name,
or the number of a load-time result. The arguments of the load-time executable are the weights in `load`.
`made` has, for each result of the load-time part, a key and the places of the weights that it comes from.
Results of the same key compute the same from their weights: see `lowering.targets.xla.hoisted`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.xla.hoisted import result_keys

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Parts:
    """A binary, taken apart."""

    inputs: tuple[str | int | None, ...]
    main: bytes
    load_inputs: tuple[str, ...] = ()
    load: bytes | None = None
    made: tuple[tuple[str, tuple[int, ...]], ...] = ()


def pack(module: Module, main: bytes, load: bytes | None) -> bytes:
    """One binary of a module's executable and of its load-time part's."""
    made: dict[str, int] = {}
    sources: list[str] = []
    if module.load is not None:
        made = {port.name: index for index, port in enumerate(module.load.outputs)}
        sources = [port.weight for port in module.load.inputs if port.weight is not None]
    inputs = [None if p.weight is None else made.get(p.weight, p.weight) for p in module.inputs]
    keys = result_keys(module.load) if module.load is not None else []
    blobs = [main] if load is None else [main, load]
    sizes = [len(blob) for blob in blobs]
    head = json.dumps({"inputs": inputs, "load": sources, "made": keys, "bytes": sizes}).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *blobs))


def unpack(payload: bytes, name: str) -> Parts:
    """Take a binary apart. Raises EngineError for one that is not of this form."""
    try:
        (length,) = _LENGTH.unpack_from(payload)
        start = _LENGTH.size + length
        head = json.loads(payload[_LENGTH.size : start])
        inputs, sources, sizes = tuple(head["inputs"]), tuple(head["load"]), head["bytes"]
        keys = tuple((key, tuple(places)) for key, places in head["made"])
        texts = (*sources, *(key for key, _ in keys))
        sound = all(isinstance(text, str) for text in texts) and len(sizes) in (1, 2)
        sound &= all(at in range(len(sources)) for _, places in keys for at in places)
        if not sound or not all(item is None or isinstance(item, str | int) for item in inputs):
            raise ValueError
        blobs = []
        for size in sizes:
            blobs.append(payload[start : start + size])
            start += size
        if start != len(payload):
            raise ValueError
    except (struct.error, ValueError, KeyError, TypeError):
        raise EngineError(f"xla {name}: cannot load the binary: it is not of this version") from None
    return Parts(inputs, blobs[0], sources, blobs[1] if len(blobs) == 2 else None, keys)
