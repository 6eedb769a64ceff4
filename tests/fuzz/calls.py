"""Calls that operators take: what hostile calls are made from.

They come from the samples of `tests/ops`, and from what torch's operator database and its derivatives call
underneath. Of an operator that writes to `out` or to its first argument, a call is made from its namesake's.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import tests.ops
from lowering.ir import aten
from lowering.ir.aten import OpSchema
from lowering.ir.custom_operators import schema_of
from tests.opdb.selection import database
from tests.ops.driver import Sample, operator

# Positional arguments, keyword arguments.
Call = tuple[tuple[Any, ...], dict[str, Any]]
Calls = dict[str, list[Call]]

# How many calls of an operator are kept, and how many samples of an entry of the database are run.
_KEPT, _RUN = 6, 6
# Larger tensors only cost time.
_LARGEST = 1 << 14


def calls(recorded: bool = True) -> Calls:
    """By operator, some calls. `recorded`: those that the database makes too; that takes some 15 seconds."""
    found: Calls = {}
    for target, args, kwargs in (*sampled(), *_more(), *(_recorded() if recorded else ())):
        kept = found.setdefault(target, [])
        if len(kept) < _KEPT and _is_plain(args, kwargs):
            kept.append((args, kwargs))
    return found


def _is_plain(args: Any, kwargs: Any) -> bool:
    leaves = tree_leaves((args, kwargs))
    if any(isinstance(leaf, (torch.Generator, torch.SymInt, torch.UntypedStorage)) for leaf in leaves):
        return False
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return all(
        type(x) is torch.Tensor and x.layout is torch.strided and x.is_cpu and x.numel() <= _LARGEST
        for x in tensors
    )


def sampled() -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The samples of the tests of rules."""
    for module in pkgutil.iter_modules(tests.ops.__path__):
        if not module.name.startswith("samples_"):
            continue
        for value in vars(importlib.import_module(f"tests.ops.{module.name}")).values():
            for sample in value if isinstance(value, (list, tuple)) else ():
                if isinstance(sample, Sample):
                    yield sample.target, sample.args, sample.kwargs


class _Recorder(TorchDispatchMode):
    """Notes each call of an operator, with its arguments as they were before it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        target = str(func)
        if self.counts.get(target, 0) < _KEPT and _is_plain(args, kwargs):
            self.counts[target] = self.counts.get(target, 0) + 1
            copied = tree_map(lambda x: x.detach().clone() if isinstance(x, torch.Tensor) else x, args)
            named = tree_map(lambda x: x.detach().clone() if isinstance(x, torch.Tensor) else x, kwargs or {})
            self.seen.append((target, copied, named))
        return func(*args, **(kwargs or {}))


def _recorded() -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What the entries of the database call, and their derivatives."""
    recorder = _Recorder()
    for entry in database().values():
        for dtype in (torch.float32, torch.int64, torch.complex64):
            if dtype not in entry.supported_dtypes("cpu"):
                continue
            differentiable = entry.supports_autograd and dtype is torch.float32
            # torch's own samples and derivatives fail for some dtypes, each in its way.
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                warnings.simplefilter("ignore")
                for sample in islice(entry.sample_inputs("cpu", dtype, requires_grad=differentiable), _RUN):
                    with contextlib.suppress(Exception), recorder:
                        made = entry.op(sample.input, *sample.args, **sample.kwargs)
                        leaves = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor)]
                        torch.autograd.backward([x.sum() for x in leaves if x.requires_grad])
    return recorder.seen


def complete(known: Calls, targets: Sequence[str]) -> None:
    """Give operators without a call those of a namesake, with their own arguments and fitting results."""
    for target in targets:
        schema = schema_of(target)
        if known.get(target) or schema is None:
            continue
        for namesake in _namesakes(target):
            if known.get(namesake) and (other := schema_of(namesake)) is not None:
                made = (_with_results(schema, other, call) for call in known[namesake])
                known[target] = [((), given) for given in made]
                break


def _with_results(schema: OpSchema, other: OpSchema, call: Call) -> dict[str, Any]:
    """A namesake's arguments by name, and something empty of a result's dtype for each `out`."""
    own = {parameter.name for parameter in schema.parameters}
    args, kwargs = call
    names = [parameter.name for parameter in other.parameters]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    written = [p.name for p in schema.parameters if p.writes and p.name not in given]
    if written and not any(parameter.writes for parameter in other.parameters):
        with contextlib.suppress(Exception):  # the call itself may be one that raises
            made = operator(other.target)(*args, **kwargs)
            leaves = [x for x in tree_leaves(made) if isinstance(x, torch.Tensor)]
            given |= {name: torch.empty(0, dtype=x.dtype) for name, x in zip(written, leaves, strict=False)}
    return {name: value for name, value in given.items() if name in own}


def _namesakes(target: str) -> Iterator[str]:
    namespace, name, overload = target.split(".")
    base = name.removesuffix("_").removesuffix("_functional").removesuffix("_copy")
    likely = {overload, overload.removesuffix("_out"), overload.replace("out", "default"), "default"}
    others = [t for t in aten.targets(namespace) if t.split(".")[1] in (base, f"{base}_", f"{base}_copy")]
    yield from (t for t in others if t.split(".")[2] in likely)
    yield from others


def _more() -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Calls of operators that neither has."""
    x, square = torch.rand(3, 4), torch.eye(3) + 0.1
    levels, labels = torch.tensor([0.25, 0.5]), torch.randint(1, 5, (2, 3))
    factors, pivots = torch.linalg.lu_factor(square)
    scores = torch.rand(6, 2, 5).log_softmax(-1)
    yield "aten.quantile.default", (x, levels, 1), {}
    yield "aten.nanquantile.default", (x, levels, 1), {}
    yield "aten.ctc_loss.IntList", (scores, labels, [6, 5], [3, 2]), {}
    yield "aten.ctc_loss.Tensor", (scores, labels, torch.tensor([6, 5]), torch.tensor([3, 2])), {}
    yield "aten._ctc_loss.default", (scores, labels, [6, 5], [3, 2]), {}
    yield "aten.stft.default", (torch.rand(64), 16), {"return_complex": True}
    yield "aten.stft.center", (torch.rand(64), 16), {"return_complex": True}
    yield "aten.linalg_norm.ord_str", (x, "fro"), {}
    yield "aten.linalg_cond.p_str", (square, "fro"), {}
    yield "aten.chain_matmul.default", ([x, x.T, x],), {}
    yield "aten.linalg_cholesky.default", (square @ square.T,), {}
    yield "aten.linalg_ldl_factor.default", (square,), {}
    yield "aten.linalg_solve_ex.default", (square, torch.rand(3, 2)), {}
    yield "aten.lu_solve.default", (torch.rand(3, 2), factors, pivots), {}
    yield "aten.gradient.scalarrayarray", (x,), {"spacing": [1.0, 2.0], "dim": [0, 1]}
    yield "aten.gradient.tensorarray", (x,), {"spacing": [torch.arange(3.0)], "dim": [0]}
    yield "aten.histogramdd.default", (torch.rand(9, 2), [3, 4]), {}
    yield "aten.histogramdd.int_bins", (torch.rand(9, 2), 3), {}
    yield "aten.histogramdd.TensorList_bins", (torch.rand(9, 2), [torch.linspace(0, 1, 4)] * 2), {}
    yield "aten.tensor_split.tensor_indices_or_sections", (x, torch.tensor(2)), {}
    yield "aten.convolution_overrideable.default", (torch.rand(1, 2, 5, 5), torch.rand(3, 2, 3, 3)), {}
    yield "aten.affine_grid_generator_backward.default", (torch.rand(1, 4, 4, 2), [1, 2, 4, 4], False), {}
    yield (
        "aten.slow_conv_dilated3d.default",
        (torch.rand(1, 2, 5, 5, 5), torch.rand(3, 2, 2, 2, 2), [2, 2, 2]),
        {},
    )
    inner, outer, norm = torch.rand(16, 8), torch.rand(8, 16), (torch.rand(8), torch.rand(8))
    attention = (torch.rand(24, 8), torch.rand(24), torch.rand(8, 8), torch.rand(8))
    feed = (inner, torch.rand(16), outer, torch.rand(8))
    layer = (torch.rand(2, 3, 8), 8, 2, *attention, True, False, 1e-5, *norm, *norm, *feed)
    yield "aten._transformer_encoder_layer_fwd.default", layer, {}
    yield "aten._transformer_encoder_layer_fwd.default", (*layer, torch.zeros(2, 3).bool(), 1), {}
    attended = (*(torch.rand(2, 3, 8),) * 3, 8, 2, *attention)
    yield "aten._native_multi_head_attention.default", attended, {}
    yield "aten._transform_bias_rescale_qkv.default", (torch.rand(2, 3, 24), torch.rand(24), 2), {}
