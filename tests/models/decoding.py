"""A Llama of 8 layers that decodes token after token, and where its caches lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as hf

from bridge.compiled.compiled import Compiled
from lowering.host.tensors import address
from tests.models.model import seeded, tokens

VOCABULARY = 99
LAYERS = 8


def llama(length: int) -> torch.export.ExportedProgram:
    """One step: `input_ids` and `cache_position` to logits; 16 caches [1, 2, length, 16] in buffers."""
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    config = hf.LlamaConfig(
        hidden_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        vocab_size=VOCABULARY,
        max_position_embeddings=4096,
        use_cache=True,
    )
    model = seeded(lambda: hf.LlamaForCausalLM(config))
    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": length}
    model.generation_config.use_cache = True
    step = TorchExportableModuleWithStaticCache(model, batch_size=1, max_cache_len=length)
    with torch.no_grad():
        return torch.export.export(step, (), step_inputs(0), strict=False)


def step_inputs(step: int) -> dict[str, torch.Tensor]:
    """The inputs of a step."""
    ids = tokens(VOCABULARY, 64)
    return {"input_ids": ids[:, step : step + 1].clone(), "cache_position": torch.tensor([step])}


def buffer_address(compiled: Compiled, name: str) -> int:
    """Where a buffer that a program writes lies now."""
    store = compiled.state().store
    if name in store.handles:
        handle = store.handles[name]
        return handle.start if hasattr(handle, "start") else handle.array.unsafe_buffer_pointer()
    held = store.host[name]
    return address(held) if isinstance(held, np.ndarray) else held.data_ptr()


def cache_addresses(call: Any) -> tuple[int, ...]:
    """Where the keys and values of all layers lie: of a compiled program, or of torch's module."""
    if isinstance(call, Compiled):
        names = [name for name in call.state() if "_cache_" in name]
        return tuple(buffer_address(call, name) for name in names)
    return tuple(b.data_ptr() for name, b in call.named_buffers() if "_cache_" in name)
