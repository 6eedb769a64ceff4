"""torch's decompositions as graphs of operators with rules."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lowering.ir.types import DType
from lowering.stablehlo import decompose as module
from lowering.stablehlo import emit
from lowering.stablehlo.decomposed_graph import LAPACK, RANDOM
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import rule_for
from lowering.targets import get_engine
from tests.ops.driver import Sample, check, reason_not_lowered

_generator = torch.Generator().manual_seed(0)


def _t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=_generator).to(dtype)


SAMPLES = [
    Sample(
        "aten._native_batch_norm_legit.default",
        (_t(2, 3, 4), _t(3), _t(3), torch.zeros(3), torch.ones(3), True, 0.1, 1e-5),
        functional=True,
    ),
    Sample("aten.huber_loss.default", (_t(3, 4), _t(3, 4), 1, 0.5)),
    Sample("aten.xlogy_.Tensor", (_t(3, 4), torch.rand(3, 4, generator=_generator)), functional=True),
    Sample("aten.huber_loss.default", (_t(3, 4), _t(3, 4), 1, 0.5)),
    Sample("aten.huber_loss.default", (_t(3, 4), _t(3, 4), 0)),
    Sample("aten.logit.default", (torch.rand(3, 4, generator=_generator), 0.1)),
    Sample(
        "aten.threshold_backward.default", (_t(3, 4, dtype=torch.bfloat16), _t(3, 4, dtype=torch.bfloat16), 0)
    ),
    Sample("aten.silu_backward.default", (_t(3, 4, dtype=torch.bfloat16), _t(3, 4, dtype=torch.bfloat16))),
    Sample("aten.diff.default", (_t(3, 6), 2, 1)),
    Sample("aten.trace.default", (_t(4, 4),)),
    Sample("aten.cdist.default", (_t(3, 4), _t(5, 4))),
    Sample("aten.renorm.default", (_t(3, 4), 2, 0, 1.0)),
    Sample("aten.block_diag.default", ([_t(2, 2), _t(1, 3)],)),
    Sample("aten.cartesian_prod.default", ([_t(2), _t(3)],)),
    Sample("aten.vander.default", (_t(3),)),
    Sample("aten.rot90.default", (_t(3, 4),)),
    Sample("aten.tensor_split.sections", (_t(7, 2), 3)),
    Sample("aten.cosine_similarity.default", (_t(3, 4), _t(3, 4))),
    Sample("aten.pairwise_distance.default", (_t(3, 4), _t(3, 4))),
    Sample("aten.triplet_margin_loss.default", (_t(3, 4), _t(3, 4), _t(3, 4))),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_decomposed_equals_eager(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is a rule by now: without it."""
    monkeypatch.setattr(
        emit, "rule_for", lambda target: None if target == sample.target else rule_for(target)
    )
    module._trace.cache_clear()
    check(sample, get_engine("xla"))


def test_torch_surfaces() -> None:
    module.smoke()


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (Sample("aten.bernoulli.default", (torch.rand(3),)), RANDOM),
        (Sample("aten.nonzero.default", (torch.ones(3),)), "depends on the data"),
        (Sample("aten.linalg_eig.default", (_t(3, 3),)), LAPACK),
        (Sample("aten.linalg_eigvals.default", (_t(3, 3),)), LAPACK),
        (Sample("aten.linalg_ldl_factor.default", (_t(3, 3),)), LAPACK),
    ],
    ids=str,
)
def test_reasons(sample: Sample, reason: str) -> None:
    assert reason in (reason_not_lowered(sample) or "")


def test_decomposition_that_fails_in_torch() -> None:
    """trace of a vector: what a file with a wrong type would ask for."""
    frozen = {"self": module._Slot(0, DType.FLOAT32, (2,))}
    with pytest.raises(Unsupported, match=r"torch's own decomposition of aten.trace.default fails: "):
        module._trace(module._Call("aten.trace.default", repr(frozen), frozen))


def test_unknown_operator() -> None:
    with pytest.raises(Unsupported, match="torch knows no operator"):
        module.decompose("nowhere.nothing.default", {}, ())


def test_equal_calls_are_traced_once() -> None:
    module._trace.cache_clear()
    for _ in range(3):
        frozen = {"self": module._Slot(0, DType.FLOAT32, (4,)), "eps": 0.25}
        module._trace(module._Call("aten.logit.default", repr(frozen), frozen))
    assert module._trace.cache_info().misses == 1


def test_threads_trace_at_once() -> None:
    """make_fx patches torch for the whole process: two at once take each other's patches back."""
    module._trace.cache_clear()

    def traced(size: int) -> int:
        frozen = {"self": module._Slot(0, DType.FLOAT32, (size,)), "eps": 0.25}
        return len(module._trace(module._Call("aten.logit.default", repr(frozen), frozen)).graph.nodes)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(traced, range(1, 33)))) == 1


def test_one_and_true_are_different_calls() -> None:
    assert module._Call("t", repr({"a": 1}), {"a": 1}) != module._Call("t", repr({"a": True}), {"a": True})


def test_operators_with_rules_stay_whole() -> None:
    frozen = {"self": module._Slot(0, DType.FLOAT32, (4,)), "eps": 0.25}
    graph = module._trace(module._Call("aten.logit.default", repr(frozen), frozen)).graph
    assert all(rule_for(node.target) for node in graph.nodes)
