"""`bounds_checks=False`: kept by the artifact, asked for on the command line, and of no other check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bridge
from bridge.errors import ArtifactError
from tests.bridge.test_damage import edit


class Embedded(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids).sin()


IDS = torch.tensor([1, 9, 3])
BAD = torch.tensor([1, 10, -4])


@pytest.mark.parametrize("engine", ["xla", "iree"])
def test_an_artifact_keeps_it_for_sizes_that_are_new(engine: str, tmp_path: Path) -> None:
    module = Embedded()
    sizes = {"ids": {0: torch.export.Dim("n", min=2, max=64)}}
    for checked in (True, False):
        lowered = bridge.lower(module, (IDS,), dynamic_shapes=sizes, bounds_checks=checked)
        loaded = bridge.load(lowered.save(tmp_path / f"{checked}.bridge"))
        assert loaded.bounds_checks is checked
        compiled = loaded.compile(engine)
        for ids, bad in ((IDS, BAD), (IDS.repeat(2), BAD.repeat(2))):
            torch.testing.assert_close(compiled(ids), module(ids).detach())
            if checked:
                with pytest.raises(IndexError):
                    compiled(bad)
            else:
                torch.testing.assert_close(compiled(bad), module(bad.clamp(0, 9)).detach())


def test_the_command_line(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Embedded(), (IDS,)), tmp_path / "model.pt2")

    def lower(source: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "bridge",
            "--quiet",
            "lower",
            str(tmp_path / source),
            "-e",
            "none",
            *options,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert lower("model.pt2", "--no-bounds-checks").returncode == 0
    loaded = bridge.load(tmp_path / "model.bridge")
    assert not loaded.bounds_checks
    assert loaded.module(0).checks == ()
    again = lower("model.bridge", "--no-bounds-checks")
    assert again.returncode == 1
    assert "is an artifact, which was lowered already" in again.stderr


def test_a_doctored_manifest_is_refused(tmp_path: Path) -> None:
    artifact = bridge.lower(Embedded(), (IDS,)).save(tmp_path / "a.bridge")
    edit(artifact, "manifest.json", lambda data: data["methods"][""].update(bounds_checks="no"))
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        bridge.load(artifact)
