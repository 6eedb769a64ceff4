"""The modules that register operators with torch which `import torch` alone does not."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress

# By namespace. Only these are ever imported for an operator's name, which a file may choose.
HOMES = {
    "prims": "torch._inductor.inductor_prims",
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "torch_nn": "torch.nn.modules.linear_cross_entropy",
    "torchao": "torchao.quantization.quant_primitives",
    "transformers": "transformers.integrations.moe",
}

# Namespaces whose module was imported here, and by nobody before.
_BROUGHT: set[str] = set()


def import_home(namespace: str) -> None:
    """Import the module of a namespace, if there is one and it can be imported here."""
    home = HOMES.get(namespace)
    if home is not None and home not in sys.modules:
        _BROUGHT.add(namespace)
        with suppress(Exception):  # the package's own code runs, and may raise anything
            importlib.import_module(home)


def brought(namespace: str) -> bool:
    """Whether a namespace's operators are here because a file named one, and not because the user imported
    them."""
    return namespace in _BROUGHT or (namespace in HOMES and HOMES[namespace] not in sys.modules)
