"""Weights of matmuls are laid out as [in, out], but for those of halves."""

from __future__ import annotations

import pytest

from lowering.stablehlo.passes import stablehlo_pass
from tests.lowering.stablehlo.passes.models import lowered
from tests.lowering.stablehlo.passes.through import through


@pytest.mark.parametrize(("name", "sizes"), [("products", (16, 48)), ("halves", (48, 16))])
def test_weights_of_products_are_in_out_but_for_halves(name: str, sizes: tuple[int, int]) -> None:
    module = lowered(name)[0].module(0)
    made = through(module, stablehlo_pass("matmul-weights-in-out"), stablehlo_pass("weight-hoisting"))
    assert sizes in {port.sizes for port in made.inputs}
