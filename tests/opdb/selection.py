"""Which cases there are: operators, dtypes samples, and the operators whose results are undefined."""

from __future__ import annotations

import random
import warnings
from functools import cache
from typing import Any

import numpy as np
import torch

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool", "complex64")
ENGINES = ("xla", "iree", "aten")

# How many samples of each operator an engine takes; IREE's compiler takes half a second a case.
SAMPLES = {"xla": None, "iree": 3, "aten": None}

# A file may not call them (docs/decisions/0028-allowed-operators.md).
REFUSED = frozenset(("to_sparse",))

# Results hold whatever the memory held: only dtype and sizes are compared.
UNDEFINED = frozenset(
    """
    empty empty_like empty_permuted empty_strided new_empty new_empty_strided resize_ resize_as_
    """.split()
)


@cache
def database() -> dict[str, Any]:
    """The entries of op_db by full name (`std.unbiased`). torch promises nothing of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return {entry.full_name: entry for entry in op_db}


def names(dtype: str, wanted: set[str] | None = None) -> list[str]:
    """Operators that eager has on the CPU for this dtype, sorted; of these the wanted ones."""
    kind = getattr(torch, dtype)
    entries = database().items()
    return sorted(
        n for n, e in entries if kind in e.supported_dtypes("cpu") and (wanted is None or n in wanted)
    )


def samples(name: str, dtype: str) -> list[Any]:
    """The sample inputs of an operator, the same in every process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    entry = database()[name]
    return list(entry.sample_inputs("cpu", getattr(torch, dtype), requires_grad=False))


def own_tolerance(name: str, dtype: str) -> tuple[float, float]:
    """The loosest `(rtol, atol)` that op_db gives an operator for a dtype on the CPU; zeros if none, and for
    what is no operator of it, named ""."""
    if not name:
        return 0.0, 0.0
    kind = getattr(torch, dtype)
    rtol = atol = 0.0
    for decorator in database()[name].decorators:
        if getattr(decorator, "device_type", None) not in (None, "cpu"):
            continue
        for override in getattr(decorator, "decorators", [decorator]):
            given = getattr(override, "d", None)
            if not isinstance(given, dict) or kind not in given:
                continue
            found = given[kind]
            if isinstance(found, float):  # a `precisionOverride`
                atol = max(atol, found)
            else:
                rtol, atol = max(rtol, found.rtol), max(atol, found.atol)
    return rtol, atol
