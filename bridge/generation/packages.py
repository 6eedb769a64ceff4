"""The package that brings the models: transformers, imported on first use."""

from __future__ import annotations

from typing import Any, NamedTuple

from bridge.errors import BridgeError


class CacheClasses(NamedTuple):
    """The cache classes of transformers."""

    Cache: Any
    EncoderDecoderCache: Any
    StaticLayer: Any


def cache_classes() -> CacheClasses:
    """Raises BridgeError where transformers is not installed."""
    require()
    from transformers import cache_utils

    return CacheClasses(cache_utils.Cache, cache_utils.EncoderDecoderCache, cache_utils.StaticLayer)


def require() -> None:
    """Raise BridgeError where transformers is not installed."""
    try:
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise BridgeError("a causal model is exported by transformers: install bridge[generation]") from error
