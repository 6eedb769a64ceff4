"""Damaged modules through the child that vets them: `python -m tests.fuzz.modules --cases 2000`.

A case is a module's bytecode, changed mostly so that its sections stay, and its ports. The vetting itself
runs in a child of a child: MLIR's reader may crash there or not end, as in the child of `bridge.vetting`. A
module that is taken is read once more, as the compiler's process does.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import torch

from lowering.ir.bytecode import check_operations
from lowering.stablehlo import hlo, vetting
from tests.bridge.samples import lowered
from tests.fuzz.campaign import Campaign
from tests.fuzz.children import Ending, Limits, run_case
from tests.fuzz.mutations import damaged_bytes

_PROGRAMS = ("mlp", "cached_attention", "tied_embedding", "mlp_dynamic", "branch", "data_dependent")
_INNER = Limits(seconds=float(vetting.SECONDS), waiting=60.0, memory=1 << 30)
Sample = tuple[bytes, list[Any]]


def make(number: int) -> bytes:
    """A line of JSON with the ports, as `lowering.stablehlo.vetting` takes them, then the bytecode."""
    rng = random.Random(number)
    samples = _samples()
    code, ports = rng.choice(samples)
    change = rng.choice((_bits, _bits, _bits, _moved, _moved, _spliced, _ports, _anything))
    code, ports = change(code, deepcopy(ports), rng)
    return json.dumps(ports).encode() + b"\n" + code


def act(content: bytes) -> str:
    """Vet a module, and read what was written anew where it was taken."""
    line, _, code = content.partition(b"\n")
    ports = json.loads(line)
    outcome = run_case(lambda: _vetted(code, ports), _INNER)
    if outcome.ending in (Ending.CRASHED, Ending.HUNG):
        return f"refused: {outcome.ending.value}"
    if outcome.ending is not Ending.RETURNED:
        raise AssertionError(f"{outcome.ending.value}: {outcome.detail}")
    if outcome.detail == "refused":
        return "refused"
    made = base64.b64decode(outcome.detail)
    check_operations(made)
    with hlo.make_context() as context:
        module = hlo.deserialize(made, context)
        (entry,) = module.body.operations
        assert isinstance(entry, hlo.func.FuncOp)
        types = [[str(t) for t in side] for side in (entry.type.inputs, entry.type.results)]
        with hlo.ir.Location.unknown():
            wanted = [[_type(*port) for port in side] for side in ports]
    if types != wanted:
        raise AssertionError(f"taken with other ports: {types}, {wanted}")
    return "ran"


def _type(dtype: str, sizes: list[int]) -> str:
    element = hlo.element_type(vetting.DType(dtype))
    assert element is not None
    return str(hlo.ir.RankedTensorType.get(sizes, element))


def _vetted(code: bytes, ports: Sequence[Any]) -> str:
    try:
        check_operations(code)
        return base64.b64encode(vetting.rewritten(code, *ports)).decode()
    except ValueError as error:
        return "refused" if str(error).strip() else "refused without a word"


Change = Callable[[bytes, list[Any], random.Random], Sample]


def _bits(code: bytes, ports: list[Any], rng: random.Random) -> Sample:
    """A few bytes have other bits."""
    out = bytearray(code)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(40, len(out))
        out[at] = rng.choice((out[at] ^ (1 << rng.randrange(8)), 0, 1, 0xFF, rng.randrange(256)))
    return bytes(out), ports


def _moved(code: bytes, ports: list[Any], rng: random.Random) -> Sample:
    """A few bytes stand where others stood."""
    out = bytearray(code)
    for _ in range(rng.choice((1, 1, 3))):
        length = rng.choice((1, 2, 4, 8, 16))
        source, target = (rng.randrange(40, len(out) - length) for _ in range(2))
        out[target : target + length] = out[source : source + length]
    return bytes(out), ports


def _spliced(code: bytes, ports: list[Any], rng: random.Random) -> Sample:
    """The end of another module."""
    other, _ = rng.choice(_samples())
    at = rng.randrange(40, min(len(code), len(other)))
    return code[:at] + other[at:], ports


def _ports(code: bytes, ports: list[Any], rng: random.Random) -> Sample:
    """A port of another type, or one more, or one less."""
    side = rng.choice(ports)
    match rng.randrange(4):
        case 0 if side:
            side.pop(rng.randrange(len(side)))
        case 1:
            side.append(["float32", [2, 3]])
        case 2 if side:
            rng.choice(side)[0] = rng.choice(("float64", "int64", "bool", "bfloat16", "complex64"))
        case _ if side:
            sizes = rng.choice(side)[1]
            sizes[:] = [*sizes[:-1], rng.choice((0, 1, 7, 1 << 40))] if sizes else [1]
    return code, ports


def _anything(code: bytes, ports: list[Any], rng: random.Random) -> Sample:
    return damaged_bytes(code, rng), ports


@cache
def _samples() -> list[Sample]:
    found: list[Sample] = []
    for name in _PROGRAMS:
        for _, module in sorted(lowered(name).modules.items()):
            for each in filter(None, (module, module.preflight)):
                sides = (each.inputs, each.outputs)
                found.append((each.code, [[[p.dtype.value, list(p.sizes)] for p in side] for side in sides]))
    return found


CAMPAIGN = Campaign("modules", make, act, ".module", Limits(seconds=5.0, waiting=120.0))

if __name__ == "__main__":
    torch.set_num_threads(1)
    hlo.make_context()
    _samples()
    CAMPAIGN.main(default_cases=2_000)
