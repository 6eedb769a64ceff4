"""An adapter as PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`, or a state dict.

A file of settings is a stranger's. A setting that changes results, and that is not known here, is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.compiled.adapters import AdapterRefused
from bridge.given_weights import read_weights
from lowering.ir.weights import Weights

if TYPE_CHECKING:
    AdapterSource = str | PathLike[str] | Mapping[str, Any] | Weights

CONFIG = "adapter_config.json"
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_MAX_CONFIG = 1 << 20
_PREFIX = "base_model.model."
_SUFFIXES = {".lora_A.weight": 0, ".lora_B.weight": 1}
# Settings with the values that change nothing here; of others every value changes something.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}
# Settings that say how an adapter was made or trained, or that the tensors say again.
_ABOUT = frozenset(
    """
    alpha_pattern auto_mapping base_model_name_or_path corda_config ensure_weight_tying eva_config
    exclude_modules fan_in_fan_out inference_mode layers_pattern layers_to_transform loftq_config lora_alpha
    lora_dropout lora_ga_config megatron_core peft_version qalora_group_size r rank_pattern revision
    runtime_config target_modules task_type use_rslora
    """.split()
)
# A pattern's letters: names of modules with dots, which PEFT takes as the end of a regular expression.
_PATTERN = re.compile(r"\^?[\w.\\]+")


@dataclass(frozen=True)
class Factors:
    """The two matrices of one layer, by their names among the adapter's weights, and their factor."""

    first: str
    second: str
    scale: float


@dataclass(frozen=True)
class LowRankAdapter:
    """`layers`: by path of the module that is changed."""

    weights: Weights
    layers: Mapping[str, Factors]


def read_adapter(
    source: AdapterSource,
    scale: float | None = None,
    config: str | PathLike[str] | Mapping[str, Any] | None = None,
) -> LowRankAdapter:
    """A folder as PEFT writes it, its `adapter_model.safetensors`, or a state dict.

    `config`: a file or mapping of PEFT's settings in place of the `adapter_config.json` beside the file.
    `scale`: the factor of all layers, in place of `lora_alpha / r`; needed where settings are missing.
    Raises AdapterRefused, BridgeError for weights that cannot be read.
    """
    path = Path(source) if isinstance(source, str | PathLike) else None
    if path is not None and path.is_dir():
        path = next((path / name for name in _FILES if (path / name).is_file()), path / _FILES[0])
    if config is None and path is not None and (path.parent / CONFIG).is_file():
        config = path.parent / CONFIG
    settings = _settings(config) if isinstance(config, str | PathLike) else config
    if settings is not None:
        _check_settings(settings)
    elif scale is None:
        raise AdapterRefused(f"the adapter comes without {CONFIG}; give its scale, lora_alpha / r")
    if scale is not None and not _is_number(scale):
        raise AdapterRefused(f"the adapter's scale is {scale!r}, not a finite number")
    weights = read_weights(path if path is not None else source)
    return LowRankAdapter(weights, _layers(weights, settings or {}, scale))


def _settings(path: str | PathLike[str]) -> Mapping[str, Any]:
    file = Path(path)
    try:
        if file.stat().st_size > _MAX_CONFIG:
            raise AdapterRefused(f"{file} has more than {_MAX_CONFIG} bytes")
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise AdapterRefused(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise AdapterRefused(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise AdapterRefused(f"{file} is not an object of settings")
    return found


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if name in _NEUTRAL:
            known = any(value is one or (value == one and type(value) is type(one)) for one in _NEUTRAL[name])
        else:
            known = name in _ABOUT or not value
        if not known:
            raise AdapterRefused(f"adapters with {name}={value!r:.80} are not supported")


def _layers(weights: Weights, settings: Mapping[str, Any], scale: float | None) -> dict[str, Factors]:
    names = list(weights.views)
    prefix = _PREFIX if names and all(name.startswith(_PREFIX) for name in names) else ""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)
        if suffix is None:
            raise AdapterRefused(
                f"the adapter's {name!r} is not supported: only lora_A.weight and lora_B.weight of layers are"
            )
        found.setdefault(name[len(prefix) : -len(suffix)], {})[_SUFFIXES[suffix]] = name
    if not found:
        raise AdapterRefused("the adapter has no tensors")
    layers: dict[str, Factors] = {}
    for path, pair in found.items():
        if len(pair) < 2:
            lacks = "lora_B" if 0 in pair else "lora_A"
            raise AdapterRefused(f"the adapter has no {lacks}.weight for {path}")
        first = weights.views[pair[0]].sizes
        rank = first[0] if first else 0
        factor = _scale(path, rank, settings) if scale is None else float(scale)
        layers[path] = Factors(pair[0], pair[1], factor)
    return layers


def _scale(path: str, rank: int, settings: Mapping[str, Any]) -> float:
    """`lora_alpha / r`, or `lora_alpha / sqrt(r)`, where a pattern may give a layer its own."""
    ranks, alphas = (_patterns(settings, name) for name in ("rank_pattern", "alpha_pattern"))
    key = next((key for key in (*ranks, *alphas) if _matches(key, path)), None)
    said = ranks.get(key, settings.get("r", 8)) if key else settings.get("r", 8)
    alpha = alphas.get(key, settings.get("lora_alpha", 8)) if key else settings.get("lora_alpha", 8)
    if said != rank or not rank:
        raise AdapterRefused(f"the adapter's rank for {path} is {rank}, and its settings say {said!r:.80}")
    if not _is_number(alpha):
        raise AdapterRefused(f"the adapter's lora_alpha for {path} is {alpha!r:.80}, not a finite number")
    return alpha / math.sqrt(rank) if settings.get("use_rslora") else alpha / rank


def _patterns(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = settings.get(name) or {}
    if not isinstance(found, Mapping):
        raise AdapterRefused(f"the adapter's {name} is not a mapping of layers to numbers")
    for key in found:
        # Others may take for ever to match.
        if not isinstance(key, str) or not _PATTERN.fullmatch(key) or re.search(r"\\[^.]|\\$", key):
            raise AdapterRefused(
                f"the adapter's {name} has {key!r:.80}: only names of modules are supported, not expressions"
            )
    return found


def _matches(pattern: str, path: str) -> bool:
    """As PEFT matches: the whole path, or its end after a dot. A dot stands for any letter."""
    return re.match(rf"(.*\.)?({pattern})$", path) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
