"""The modules that register operators with torch which `import torch` alone does not."""

from __future__ import annotations

import importlib
from contextlib import suppress

# By namespace. Only these are ever imported for an operator's name, which a file may choose.
HOMES = {
    "prims": "torch._inductor.inductor_prims",
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "torch_nn": "torch.nn.modules.linear_cross_entropy",
    "torchao": "torchao.quantization.quant_primitives",
    "transformers": "transformers.integrations.moe",
}


def import_home(namespace: str) -> None:
    """Import the module of a namespace, if there is one and it can be imported here."""
    if namespace in HOMES:
        with suppress(Exception):  # the package's own code runs, and may raise anything
            importlib.import_module(HOMES[namespace])
