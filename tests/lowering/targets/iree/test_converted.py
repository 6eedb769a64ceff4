"""What is asked of a converted module as a whole."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from lowering.ir.errors import EngineError
from lowering.ir.module import Module
from lowering.targets.iree.converted import Converted, converted
from tests.lowering.targets.iree.through import function, shown

T = "tensor<4x4xf32>"


def loop(kinds: str) -> str:
    return f"""%r = linalg.generic {{
      indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = [{kinds}]
    }} outs(%x : {T}) {{
    ^bb0(%a: f32):
      %m = math.tanh %a : f32
      linalg.yield %m : f32
    }} -> {T}"""


PARALLEL, REDUCTION = loop('"parallel", "parallel"'), loop('"parallel", "reduction"')
NAMED = f"outs(%x : {T}) -> {T}"
SORT = f"""%r = iree_linalg_ext.sort dimension(0) outs(%x : {T}) {{
    ^bb0(%a: f32, %b: f32):
      %c = arith.cmpf olt, %a, %b : f32
      iree_linalg_ext.yield %c : i1
    }} -> {T}"""
BRANCH = f"""%c = arith.constant true
    %r = scf.if %c -> {T} {{
      scf.yield %x : {T}
    }} else {{
      scf.yield %x : {T}
    }}"""
FILL = f"%z = arith.constant 0.0 : f32\n    %r = linalg.fill ins(%z : f32) {NAMED}"
PRODUCT = f"%r = linalg.matmul ins(%x, %x : {T}, {T}) {NAMED}"


def given(line: str) -> str:
    return function(f"(%x: {T}) -> {T}", line, f"util.return %r : {T}")


def parsed(code: bytes | str, name: str = "m") -> AbstractContextManager[Converted]:
    return converted(code, Module(b"", (), (), name))


@pytest.mark.parametrize(
    ("line", "by_element"),
    [(PARALLEL, True), (FILL, True), (REDUCTION, False), (PRODUCT, False), (SORT, False), (BRANCH, False)],
    ids=["loop", "fill", "sum", "product", "sort", "branch"],
)
def test_which_modules_compute_by_element(line: str, by_element: bool) -> None:
    with parsed(given(line)) as subject:
        assert subject.is_elementwise() == by_element


def test_what_a_name_implies_is_not_among_the_operations() -> None:
    names = ("arith.mulf", "math.tanh", "linalg.matmul")
    with parsed(given(PRODUCT)) as subject:
        assert [op.name for op in subject.operations(*names)] == ["linalg.matmul"]
    with parsed(given(PARALLEL)) as subject:
        assert [op.name for op in subject.operations(*names)] == ["math.tanh"]


def test_bytecode_holds_operations_and_their_places() -> None:
    text = given(PARALLEL).replace("math.tanh %a : f32", 'math.tanh %a : f32 loc("tanh_3"("f.py":1:2))')

    def place(subject: Converted) -> str:
        return str(subject.operations("math.tanh")[0].location)

    with parsed(text) as subject:
        code, before = subject.serialised(), shown(subject)
        assert code == subject.serialised()
    with parsed(code) as subject:
        assert shown(subject) == before
        assert place(subject) == 'loc("tanh_3"("f.py":1:2))'


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(EngineError, match="iree broken: no module was converted"), parsed("?", "broken"):
        pass
