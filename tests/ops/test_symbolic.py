"""Operators on symbolic sizes: at other sizes, the module for all of them gives the bits of a static one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from lowering.targets import get_engine
from tests.ops.driver import Sample
from tests.ops.test_ops import FIRST_OF_EACH
from tests.symbolic import attempt

# Of how many operators `make test` compares one on XLA.
_COMPARED = 200

# These have a form of their own for all sizes, and are compared too.
_OWN_FORMS = ("aten.cumsum.default", "aten.searchsorted.Tensor", "aten.i0.default", "aten.median.dim",
              "aten.adaptive_avg_pool2d.default", "aten.max_pool2d.default",
              "aten.upsample_bilinear2d.default", "aten.reflection_pad1d_backward.default",
              "aten.linalg_cholesky_ex.default")  # fmt: skip

#: Of the operators whose sizes torch lets vary, the share in percent that are emitted for all sizes.
SHARE = 97.0


def _some(one_in: int) -> Iterator[Any]:
    for place, sample in enumerate(FIRST_OF_EACH):
        marks = pytest.mark.conformance if place % one_in and sample.target not in _OWN_FORMS else ()
        yield pytest.param(sample, id=str(sample), marks=marks)


@pytest.mark.parametrize("sample", _some(_COMPARED))
def test_it_is_the_static_module_at_every_size(sample: Sample) -> None:
    outcome = attempt(sample, get_engine("xla"))
    assert outcome.kind not in ("differs", "failed"), outcome.detail


@pytest.mark.conformance
def test_the_share_of_operators_does_not_fall() -> None:
    kinds = Counter(attempt(sample, None).kind for sample in FIRST_OF_EACH)
    assert not kinds["failed"]
    assert 100 * kinds["equal"] >= SHARE * (len(FIRST_OF_EACH) - kinds["static"]), dict(kinds)
