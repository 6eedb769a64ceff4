"""The results of each command in the table of capabilities."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import bridge
from lowering.host.weights import materialise
from tests.capabilities.scene import Scene, X, logits, same


@dataclass(frozen=True)
class Said:
    """The output of a command, and its exit status."""

    status: int
    out: str
    err: str


# Which file is the SOURCE of a command, where it is not the tiny model.
SOURCES = {
    "ops --missing SOURCE": "gap.json",
    "lower SOURCE --strict": "gap.json",
    "run SOURCE --input x.npy --import my_ops": "twice.json",
}
COMMANDS: dict[str, Callable[[Scene, Said], None]] = {}
D = Callable[[Scene, Said], None]


def _command(words: str) -> Callable[[D], D]:
    return lambda check: COMMANDS.setdefault(words, check)


@_command("info SOURCE --program")
def _info_program(at: Scene, said: Said) -> None:
    assert "aten.linear.default" in said.out


@_command("info SOURCE --program --output p.json")
def _info_json(at: Scene, said: Said) -> None:
    assert bridge.read_program(at.folder / "p.json") == at.program


@_command("info SOURCE")
def _info(at: Scene, said: Said) -> None:
    assert "output logits: f32[1, 2]" in said.out


@_command("info SOURCE --json")
def _info_as_json(at: Scene, said: Said) -> None:
    assert json.loads(said.out)["weights"]["names"] == 2


@_command("info SOURCE --engine iree,xla")
def _info_memory(at: Scene, said: Said) -> None:
    assert " on iree: " in said.out
    assert " on xla: " in said.out


@_command("ops --missing SOURCE")
def _missing(at: Scene, said: Said) -> None:
    assert said.status == 1
    assert "aten.linalg_eigvals.default" in said.out


@_command("lower SOURCE --strict")
def _strict(at: Scene, said: Said) -> None:
    assert said.status == 1
    assert "aten.linalg_eigvals.default" in said.err


@_command("run SOURCE --input x.npy --weights w.safetensors --json")
def _run(at: Scene, said: Said) -> None:
    assert json.loads(said.out)["outputs"][0]["name"] == "logits"
    shown = np.array2string(logits(at.other).numpy(), precision=3).strip("[]").split()
    assert all(number[:4] in said.out for number in shown)


@_command("run SOURCE --input x=cat.png --resize --output results.safetensors")
def _run_image(at: Scene, said: Said) -> None:
    weights = bridge.read_weights(at.folder / "results.safetensors")
    image = torch.tensor([1, 0, 51 / 255]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)
    same(dict(materialise(weights, weights.views))["outputs/logits"], logits(at.own, image))


@_command("verify SOURCE --weights w.safetensors")
@_command("verify SOURCE --rtol 1e-4 --atol 1e-5")
def _verified(at: Scene, said: Said) -> None:
    assert said.out.endswith("PASSED\n")


@_command("lower SOURCE --weights w.pt --cast-weights")
def _lowered(at: Scene, said: Said) -> None:
    artifact = bridge.load(at.folder / "tiny.bridge")
    assert artifact.binaries
    same(artifact.compile("aten")(X)["logits"], logits(at.other))


@_command("source SOURCE")
def _source(at: Scene, said: Said) -> None:
    assert "self.head = nn.Linear(48, 2)" in said.out


@_command("visualize SOURCE")
def _visualized(at: Scene, said: Said) -> None:
    assert said.out.startswith("flowchart")


@_command("report SOURCE --verify --profile")
def _report(at: Scene, said: Said) -> None:
    page = (at.folder / "report.html").read_text()
    assert "stablehlo." in page
    assert "PASSED" in page


@_command("profile SOURCE --trace t.json --html p.html")
def _profiled(at: Scene, said: Said) -> None:
    assert json.loads((at.folder / "t.json").read_text())["traceEvents"]
    assert "aten.linear.default" in (at.folder / "p.html").read_text()


@_command("run SOURCE --input x.npy --record steps")
def _recorded(at: Scene, said: Said) -> None:
    (step,) = json.loads((at.folder / "steps" / "steps.json").read_text())
    assert step["engine"] == "iree"


@_command("run SOURCE --input x.npy --import my_ops")
def _imported(at: Scene, said: Said) -> None:
    assert "output add: float32 [1, 3, 4, 4]" in said.out


@_command("passes")
def _passes(at: Scene, said: Said) -> None:
    assert "constant-folding" in said.out


@_command("lower SOURCE --print-changed")
def _changed(at: Scene, said: Said) -> None:
    assert re.match(r"// \d+: [\w-]+, ", said.err)


@_command("doctor")
def _doctor(at: Scene, said: Said) -> None:
    assert "jaxlib" in said.out


@_command("cache")
def _cache(at: Scene, said: Said) -> None:
    assert said.out.startswith(str(at.folder / "cache"))
