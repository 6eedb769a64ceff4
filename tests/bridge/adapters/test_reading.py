"""Adapters as PEFT writes them: scales by its settings, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bridge.adapters.reading import read_adapter
from bridge.compiled.adapters import AdapterRefused
from lowering.frontend.state_dicts import StateDictError
from tests.bridge.adapters.layers import pairs, saved, state_dict

TWO = pairs(0, 2, "up", "down")


@pytest.mark.parametrize("kind", ["folder", "file", "state dict", "no prefix"])
def test_sources(kind: str, tmp_path: Path) -> None:
    folder = saved(TWO, tmp_path / "adapter", lora_alpha=6)
    source: Any = {
        "folder": folder,
        "file": str(folder / "adapter_model.safetensors"),
        "state dict": state_dict(TWO),
        "no prefix": state_dict(TWO, ""),
    }[kind]
    config = None if kind in ("folder", "file") else {"r": 2, "lora_alpha": 6}
    found = read_adapter(source, config=config)
    assert list(found.layers) == ["down", "up"] if kind in ("folder", "file") else ["up", "down"]
    assert {factors.scale for factors in found.layers.values()} == {3.0}
    assert found.weights.views[found.layers["up"].first].sizes == (2, 8)
    assert found.weights.views[found.layers["up"].second].sizes == (8, 2)


SCALES = [
    ({"lora_alpha": 6}, 3.0, 3.0),
    ({"lora_alpha": 6, "use_rslora": True}, 6 / math.sqrt(2), 6 / math.sqrt(2)),
    ({"lora_alpha": 6, "alpha_pattern": {"up": 4}}, 2.0, 3.0),
    ({"lora_alpha": 6, "alpha_pattern": {"^up": 4, "own": 1}}, 2.0, 3.0),
    ({"r": 9, "lora_alpha": 6, "rank_pattern": {"up": 2, "d.wn": 2}}, 3.0, 3.0),
    # PEFT takes rank and alpha by the first pattern of both that matches.
    ({"r": 2, "lora_alpha": 6, "rank_pattern": {"up": 2}, "alpha_pattern": {"u.": 8}}, 3.0, 3.0),
]


@pytest.mark.parametrize(("settings", "up", "down"), SCALES)
def test_scales(settings: dict[str, Any], up: float, down: float, tmp_path: Path) -> None:
    found = read_adapter(saved(TWO, tmp_path, **settings))
    assert (found.layers["up"].scale, found.layers["down"].scale) == (up, down)
    assert read_adapter(tmp_path, 0.25).layers["up"].scale == 0.25


HARMLESS = {
    "auto_mapping": None,
    "base_model_name_or_path": "a/b",
    "fan_in_fan_out": True,
    "inference_mode": True,
    "init_lora_weights": "gaussian",
    "lora_dropout": 0.1,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "target_modules": ["up"],
    "task_type": "CAUSAL_LM",
    "use_dora": False,
}


def test_settings_that_change_no_result_are_taken(tmp_path: Path) -> None:
    read_adapter(saved(TWO, tmp_path, **HARMLESS))


REFUSED = [
    ({"use_dora": True}, "adapters with use_dora=True are not supported"),
    ({"modules_to_save": ["score"]}, "adapters with modules_to_save=['score'] are not supported"),
    ({"bias": "all"}, "adapters with bias='all' are not supported"),
    ({"peft_type": "LOHA"}, "adapters with peft_type='LOHA' are not supported"),
    ({"init_lora_weights": "pissa"}, "adapters with init_lora_weights='pissa' are not supported"),
    ({"init_lora_weights": 1}, "adapters with init_lora_weights=1 are not supported"),
    ({"of_the_future": 3}, "adapters with of_the_future=3 are not supported"),
    ({"r": 4}, "the adapter's rank for down is 2, and its settings say 4"),
    ({"lora_alpha": "6"}, "the adapter's lora_alpha for down is '6', not a finite number"),
    ({"lora_alpha": math.inf}, "the adapter's lora_alpha for down is inf, not a finite number"),
    (
        {"rank_pattern": {"(a+)+": 2}},
        "the adapter's rank_pattern has '(a+)+': only names of modules are supported, not expressions",
    ),
    (
        {"alpha_pattern": {"a\\d": 2}},
        "the adapter's alpha_pattern has 'a\\\\d': only names of modules are supported, not expressions",
    ),
    ({"rank_pattern": [1]}, "the adapter's rank_pattern is not a mapping of layers to numbers"),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_settings_that_are_not_supported(settings: Any, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused) as caught:
        read_adapter(saved(TWO, tmp_path, **settings))
    assert str(caught.value) == sentence


T = torch.ones(2, 2)
TENSORS: list[tuple[Any, str]] = [
    (
        {"base_model.model.up.lora_magnitude_vector": T},
        "the adapter's 'base_model.model.up.lora_magnitude_vector' is not supported: only lora_A.weight and "
        "lora_B.weight of layers are",
    ),
    ({"up.lora_A.weight": T}, "the adapter has no lora_B.weight for up"),
    ({"up.lora_B.weight": T}, "the adapter has no lora_A.weight for up"),
    ({}, "the adapter has no tensors"),
]


@pytest.mark.parametrize(("tensors", "sentence"), TENSORS, ids=[sentence for _, sentence in TENSORS])
def test_tensors_that_are_not_supported(tensors: Any, sentence: str) -> None:
    with pytest.raises(AdapterRefused) as caught:
        read_adapter(tensors, 1.0)
    assert str(caught.value) == sentence


def test_a_scale_is_needed_without_settings(tmp_path: Path) -> None:
    with pytest.raises(AdapterRefused, match=r"comes without adapter_config\.json; give its scale"):
        read_adapter(state_dict(TWO))
    with pytest.raises(AdapterRefused, match="the adapter's scale is nan, not a finite number"):
        read_adapter(state_dict(TWO), math.nan)
    with pytest.raises(StateDictError, match=r"adapter_model\.safetensors: no such file"):
        read_adapter(tmp_path, 1.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[]", "is not an object of settings"), ("{", "is not JSON: "), ("[" * 100_000, "is not JSON: ")],
)
def test_settings_that_cannot_be_read(text: str, problem: str, tmp_path: Path) -> None:
    (saved(TWO, tmp_path) / "adapter_config.json").write_text(text)
    with pytest.raises(AdapterRefused, match=problem):
        read_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text(" " * (1 << 20) + "{}")
    with pytest.raises(AdapterRefused, match="has more than 1048576 bytes"):
        read_adapter(tmp_path)
    with pytest.raises(AdapterRefused, match="cannot be read: No such file"):
        read_adapter(tmp_path, config=tmp_path / "gone.json")
