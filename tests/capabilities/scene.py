"""The tiny models, and every file that the commands of the table name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import bridge

X = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)
ELSEWHERE = torch.library.Library("bridge_elsewhere", "DEF")
ELSEWHERE.define("twice(Tensor x) -> Tensor")
for key in ("CPU", "Meta"):
    ELSEWHERE.impl("twice", lambda x: 2 * x, key)
# A module for --import.
MY_OPS = """
import bridge

@bridge.register_kernel("my_ops::twice", schema="(Tensor x) -> Tensor", replace=True)
def twice(node, constants, device):
    return lambda x: 2 * x
"""


class Tiny(torch.nn.Module):
    """A linear layer over an image."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.head = torch.nn.Linear(48, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(x.flatten(1)).relu() + 1}


class Gap(torch.nn.Module):
    """A model that does not lower."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x).abs()


class Twice(torch.nn.Module):
    """A model with an operator of another package."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.bridge_elsewhere.twice(x) + 1


def twice(namespace: str) -> bridge.Program:
    """Its program, with the operator in a namespace that torch does not have."""
    text = json.dumps(bridge.extract(Twice(), (X,)).to_json())
    return bridge.Program.from_json(json.loads(text.replace("bridge_elsewhere.", f"{namespace}.")))


@dataclass(frozen=True)
class Scene:
    """A folder with every file that the commands of the table name; `other` are weights that are not the
    model's own."""

    folder: Path
    own: Tiny
    other: Tiny
    lowered: bridge.Lowered

    @property
    def program(self) -> bridge.Program:
        return self.lowered.program


def scene_in(folder: Path) -> Scene:
    """Write the files."""
    own, other = Tiny(0), Tiny(1)
    torch.export.save(torch.export.export(own, (X,)), folder / "tiny.pt2")
    bridge.extract(Gap(), (torch.eye(3),)).save(folder / "gap.json")
    twice("my_ops").save(folder / "twice.json")
    (folder / "my_ops.py").write_text(MY_OPS)
    np.save(folder / "x.npy", X.numpy())
    Image.new("RGB", (8, 8), (255, 0, 51)).save(folder / "cat.png")
    save_file(other.state_dict(), folder / "w.safetensors")
    torch.save(other.double().state_dict(), folder / "w.pt")
    return Scene(folder, own, other.float(), bridge.lower(folder / "tiny.pt2"))


def logits(model: Tiny, x: torch.Tensor = X) -> torch.Tensor:
    """Eager's."""
    with torch.no_grad():
        return model(x)["logits"]


def same(found: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(found), expected)
