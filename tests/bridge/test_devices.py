"""Files exported on a machine with an accelerator: what they record as devices is where the call runs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import bridge
from tests.bridge.samples import path_of

DEVICES = [("cuda", 0), ("cuda", None), ("cuda", 1), ("mps", 0), ("xpu", 0), ("privateuseone", 0)]


def moved(source: Path, target: Path, device: str, index: int | None) -> Path:
    """The same file, as a machine writes it whose tensors all lie on that device."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"type", "index"} and value["type"] == "cpu":
            return {"type": device, "index": index}
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        return [walk(item) for item in value] if isinstance(value, list) else value

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith(".json"):
                content = json.dumps(walk(json.loads(content))).encode()
                assert entry.filename.count("models/") == 0 or device.encode() in content
            new.writestr(entry, content)
    return target


class Everywhere(torch.nn.Module):
    """Devices as arguments of operators, in nested graphs, of constants, weights and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 4)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> Any:
        steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        h = self.linear(x + steps).to(x.device) + torch.zeros(4, device=x.device, pin_memory=False)
        h = torch.cond(
            h.sum() > 0,
            lambda t: t + torch.ones(4, device=t.device),
            lambda t: t - torch.full((4,), 2.0, device=t.device),
            (h,),
        )
        self.seen += h.sum(0)
        made = h.new_ones(2), torch.empty_like(h).fill_(3), torch.tensor([1.0, 2.0], device=x.device)
        return h.to("cpu"), made, torch.rand(2, device=x.device).shape[0], h.nonzero().to(x.device)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("devices") / "cpu.pt2"
    torch.export.save(torch.export.export(Everywhere().eval(), (torch.ones(3, 6),), strict=False), path)
    return path


@pytest.mark.parametrize(("device", "index"), DEVICES)
def test_recorded_devices_are_where_the_call_runs(
    exported: Path, tmp_path: Path, device: str, index: int | None
) -> None:
    report = bridge.verify(
        moved(exported, tmp_path / "moved.pt2", device, index), engines=("aten", "xla"), calls=2
    )
    assert report.passed, report.markdown()


@pytest.mark.parametrize("name", ["cached_attention", "branch", "convnet", "norms", "data_dependent"])
def test_samples_as_from_a_gpu(name: str, tmp_path: Path) -> None:
    path = moved(path_of(name), tmp_path / "gpu.pt2", "cuda", 0)
    report = bridge.verify(path, engines=("aten", "xla"))
    assert report.passed, report.markdown()
    lowered, same = bridge.lower(path), bridge.lower(path_of(name))
    assert lowered.placement == same.placement
    lowered.save(tmp_path / "gpu.bridge")
    assert bridge.verify(tmp_path / "gpu.bridge", engines=("aten",)).passed


def test_a_file_from_a_gpu_on_iree(exported: Path, tmp_path: Path) -> None:
    path = moved(exported, tmp_path / "gpu.pt2", "cuda", 0)
    assert bridge.verify(path, engines=("iree",)).passed


@pytest.mark.parametrize("target", ["aten.zeros.default", "aten.empty.memory_format"])
def test_memory_is_not_pinned(target: str) -> None:
    from lowering.ir.program import Argument, Graph, Ref
    from lowering.ir.types import Device
    from lowering.targets.aten.routine import run_graph
    from tests.runtime.fakes import node, tensor

    made = node(target, "y", size=(3,))
    options = (Argument("device", Device("cuda", 0), True), Argument("pin_memory", True, True))
    made = type(made)(made.name, made.target, (*made.args, *options), made.outputs)
    (value,) = run_graph(Graph((), (Ref("y"),), (made,), {"y": tensor(3)}), {}, {})
    assert value.device.type == "cpu"
    assert not value.is_pinned()
