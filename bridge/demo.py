"""The demonstration: train, export, then `info`, `lower`, `verify`, `run`, and a table of the engines."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridge.configuration import ATEN
from bridge.errors import BridgeError
from bridge.lowered import Lowered
from lowering.ir.plan import Placement
from lowering.targets import ENGINES

EPOCHS = 4
BATCH = 64
_ROUNDS = 30


class DigitNet(torch.nn.Module):
    """Two convolutions with batch norm and a linear layer: float32 [n, 1, 8, 8] to logits [n, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1),
            torch.nn.BatchNorm2d(16),
            torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(16, 32, 3, padding=1),
            torch.nn.BatchNorm2d(32),
            torch.nn.ReLU(inplace=True),
            torch.nn.MaxPool2d(2),
        )
        self.classify = torch.nn.Linear(32 * 4 * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classify(self.features(images).flatten(1))


def run_demo(folder: Path) -> None:
    """Do the whole demonstration; files go to `folder`. Raises BridgeError where a step fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BridgeError(f"cannot write {folder}: {error.strerror}") from error
    images, labels = load_digits()
    model = train(images[:-BATCH], labels[:-BATCH])
    held_out, truth = images[-BATCH:].clone(), labels[-BATCH:]
    with torch.no_grad():
        expected = model(held_out)
    right = int((expected.argmax(1) == truth).sum())
    print(f"eager classifies {right} of {BATCH} held-out digits correctly\n")

    path = folder / "digits.pt2"
    torch.export.save(torch.export.export(model, (held_out,)), path)
    np.save(folder / "images.npy", held_out.numpy())
    print(f"exported to {path}")
    artifact = folder / "digits.bridge"
    show("info", path)
    show("lower", path, "--output", artifact, "--engine", ",".join(ENGINES))
    show("verify", artifact, "--engine", ",".join((*ENGINES, ATEN)), "--input", folder / "images.npy")
    show("run", artifact, "--input", folder / "images.npy", "--output", folder / "logits.npy")
    print(table(artifact, model, held_out, expected))
    print(f"\nthe files are in {folder}")


def load_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's own handwritten digits: float32 [1797, 1, 8, 8] in 0..1 and int64 labels."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise BridgeError("the demo needs scikit-learn: install bridge[demo]") from error
    data: Any = load()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = torch.from_numpy(data.images[order].astype(np.float32) / 16).unsqueeze(1)
    return images, torch.from_numpy(data.target[order].astype(np.int64))


def train(images: torch.Tensor, labels: torch.Tensor) -> DigitNet:
    """Train for a few epochs, seeded; returns the model in eval mode."""
    torch.manual_seed(0)
    model = DigitNet()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    print(f"trained {EPOCHS} epochs on {len(images)} digits in {time.perf_counter() - started:.0f} s")
    return model.eval()


def show(*words: object) -> None:
    """Print a `python -m bridge` command and run it, as a user would."""
    arguments = [str(word) for word in words]
    print(f"\n$ python -m bridge {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "bridge", *arguments], check=False)
    if done.returncode:
        raise BridgeError(f"`bridge {arguments[0]}` failed with status {done.returncode}")


def table(artifact: Path, model: torch.nn.Module, images: torch.Tensor, expected: torch.Tensor) -> str:
    """One row per engine: segments, nodes, largest error, equal predictions, latency against eager."""
    from bridge.api import load

    rows = [
        "| engine | segments | StableHLO / ATen nodes | largest error | same predictions | time / eager |",
        "|---|---|---|---|---|---|",
    ]
    lowered = load(artifact)
    return "\n".join(
        ["", *rows, *(_row(lowered, name, model, images, expected) for name in (*ENGINES, ATEN))]
    )


def _row(
    lowered: Lowered, engine: str, model: torch.nn.Module, images: torch.Tensor, expected: torch.Tensor
) -> str:
    compiled = lowered.compile(engine)
    logits = compiled(images)
    error = float((logits - expected).abs().max())
    equal = int((logits.argmax(1) == expected.argmax(1)).sum())
    with torch.no_grad():
        ours, eager = interleaved(lambda: compiled(images), lambda: model(images))
    report = compiled.report
    return (
        f"| {engine} | {len(report.plan.segments)} "
        f"| {report.nodes(Placement.STABLEHLO)} / {report.nodes(Placement.ATEN)} "
        f"| {error:.1e} | {equal} of {len(images)} | {ours / eager:.2f} |"
    )


def interleaved(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[float, float]:
    """Least seconds per call of two functions, called in turn."""
    best = [float("inf"), float("inf")]
    for _ in range(_ROUNDS):
        for side, call in enumerate((first, second)):
            started = time.perf_counter()
            call()
            best[side] = min(best[side], time.perf_counter() - started)
    return best[0], best[1]
