"""Key-value caches of a fixed length, as buffers of a module: what transformers' models read and write."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from bridge.errors import UsageError
from bridge.generation.packages import cache_classes


class Caches(nn.Module):
    """A static cache of every layer of a decoder, whose tensors are buffers.

    `run` calls the model once, on one token, with the cache: the layers find the shapes of their keys and
    values then. Layers with a sliding window keep the whole length. The masks of transformers' models apply
    the window, so that positions before it stay readable and take no part.

    Raises UsageError for a decoder with layers whose state is not keys and values.
    """

    def __init__(self, length: int, run: Callable[[Any], Any]) -> None:
        super().__init__()
        self._cache = empty_cache(length)
        self.length = length
        with torch.no_grad():
            run(self._cache)
        for index, layer in enumerate(self._cache.layers):
            self._register(index, layer)

    def _register(self, index: int, layer: Any) -> None:
        if not layer.is_initialized:
            raise UsageError(
                f"layer {index} of the decoder has no keys and values to keep; models with other state "
                "are not exported here: export them with torch.export and give both programs to bridge.lower"
            )
        for name in ("keys", "values", "cumulative_length"):
            held = getattr(layer, name).detach().clone().zero_()
            setattr(layer, name, held)
            self.register_buffer(f"{name}_{index}", held, persistent=False)

    def at(self, start: torch.Tensor) -> Any:
        """The cache of transformers, to be written from this position on. `start`: int64 [1]."""
        for layer in self._cache.layers:
            layer.cumulative_length.copy_(start[0])
        return self._cache


def empty_cache(length: int) -> Any:
    """A cache of transformers that adds a layer of this length where the model asks for one."""
    classes = cache_classes()
    return classes.Cache(layer_class_to_replicate=partial(classes.StaticLayer, length))
