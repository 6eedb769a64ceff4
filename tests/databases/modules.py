"""The database of modules, `torch.testing._internal.common_modules.module_db`, in eval and in train mode."""

from __future__ import annotations

import random
import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from tests.databases.judge import Arguments, Case

_CALLS = 3


@cache
def _database() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    return {entry.name: entry for entry in module_db}


def names() -> list[str]:
    """All modules, sorted."""
    return sorted(_database())


def cases(name: str, mode: str) -> list[Case]:
    """One case for each sample, float32, `mode` being `eval` or `train`.

    The module is the first draw's; each call has the arguments of the samples drawn with another seed, as
    long as they fit what it was exported with.
    """
    entry = _database()[name]
    draws = [_samples(entry, seed, mode == "train") for seed in range(_CALLS)]
    found = []
    for index, first in enumerate(draws[0]):
        given = _arguments(first)
        others = [_arguments(draw[index]) for draw in draws[1:]]
        calls = (given, *(other if _alike(given, other) else given for other in others))

        def make(constructor: Any = first.constructor_input, given: Arguments = given) -> torch.nn.Module:
            torch.manual_seed(0)
            module = entry.module_cls(*constructor.args, **constructor.kwargs).train(mode == "train")
            if entry.is_lazy:
                module(*given.args, **given.kwargs)
            return module.requires_grad_(False)

        found.append(Case(f"{name}/{mode}/{index}", make, given, calls))
    return found


def _samples(entry: Any, seed: int, training: bool) -> list[Any]:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    samples = entry.module_inputs_func(
        entry, device="cpu", dtype=torch.float32, requires_grad=False, training=training
    )
    return [sample for sample in samples if sample.forward_input is not None]


def _arguments(sample: Any) -> Arguments:
    return Arguments(tuple(sample.forward_input.args), dict(sample.forward_input.kwargs))


def _alike(a: Arguments, b: Arguments) -> bool:
    """Whether two calls differ in nothing but the elements of their tensors."""
    (mine, spec), (others, other_spec) = (pytree.tree_flatten((call.args, call.kwargs)) for call in (a, b))
    return spec == other_spec and all(
        (
            isinstance(x, torch.Tensor)
            and isinstance(y, torch.Tensor)
            and (x.dtype, x.shape, x.stride()) == (y.dtype, y.shape, y.stride())
        )
        or x is y
        or (not isinstance(x, torch.Tensor) and x == y)
        for x, y in zip(mine, others, strict=True)
    )
