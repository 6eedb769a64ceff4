"""The functions by which a converted module is called."""

# IREE's bindings come without stubs of their native part.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from expecttest import assert_expected_inline
from iree.compiler import ir

from lowering.ir.errors import EngineError
from lowering.ir.module import Module, Port
from lowering.ir.program import Range
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType
from lowering.stablehlo.symbolic import Assumptions
from lowering.targets.iree.converted import converted
from lowering.targets.iree.entries import bind_weights, check_entry, drop_memory
from tests.lowering.targets.iree.through import function, shown, text_through

SIZES = (128, 128)
T = "tensor<128x128xf32>"
B = "tensor<4xi8>"
U = "{iree.abi.encoding = tensor<4xui8>}"
X = Port("x", DType.FLOAT32, SIZES)
V, W = Port("v", DType.FLOAT32, SIZES, 'a"b'), Port("w", DType.FLOAT32, SIZES, "c")
BYTES, MADE = Port("bytes", DType.UINT8, (4,)), Port("made", DType.UINT8, (4,))
SOURCE = Module(b"", (V, X, W, BYTES, V), (X, MADE), "m")
GIVEN = function(
    f"(%a: {T}, %x: {T}, %b: {T}, %c: {B} {U}, %d: {T}) -> ({T}, {B} {U})",
    f"util.return %x, %c : {T}, {B}",
)


def test_weights_are_loaded_by_the_entry() -> None:
    assert_expected_inline(
        text_through(GIVEN, check_entry, bind_weights, source=SOURCE),
        """\
module {
  util.global private @bridge_weight_0 = #flow.parameter.named<"model"::"a\\22b"> :
      tensor<128x128xf32>
  util.global private @bridge_weight_1 = #flow.parameter.named<"model"::"c"> : tensor<128x128xf32>
  util.func public @main(%arg0: tensor<128x128xf32>, %arg1: tensor<4xi8> {iree.abi.encoding =
      tensor<4xui8>}) -> (tensor<128x128xf32>, tensor<4xi8> {iree.abi.encoding = tensor<4xui8>}) {
    %bridge_weight_0 = util.global.load immutable @bridge_weight_0 : tensor<128x128xf32>
    %bridge_weight_1 = util.global.load immutable @bridge_weight_1 : tensor<128x128xf32>
    %0:2 = util.call @bridge_body(%bridge_weight_0, %arg0, %bridge_weight_1, %arg1,
        %bridge_weight_0) : (tensor<128x128xf32>, tensor<128x128xf32>, tensor<128x128xf32>,
        tensor<4xi8>, tensor<128x128xf32>) -> (tensor<128x128xf32>, tensor<4xi8>)
    util.return %0#0, %0#1 : tensor<128x128xf32>, tensor<4xi8>
  }
  util.func private @bridge_body(%arg0: tensor<128x128xf32>, %arg1: tensor<128x128xf32>, %arg2:
      tensor<128x128xf32>, %arg3: tensor<4xi8> {iree.abi.encoding = tensor<4xui8>}, %arg4:
      tensor<128x128xf32>) -> (tensor<128x128xf32>, tensor<4xi8> {iree.abi.encoding =
      tensor<4xui8>}) {
    util.return %arg1, %arg3 : tensor<128x128xf32>, tensor<4xi8>
  }
}
""",
    )


def test_an_entry_takes_memory_and_may_lose_it() -> None:
    with converted(GIVEN, SOURCE) as subject:
        bind_weights(subject, memory=True)
        subject.verify()
        (head,) = (line for line in shown(subject).splitlines() if "public @main_in(" in line)
        assert "%arg2: !hal.buffer {iree.abi.transients}) -> " in head
        assert drop_memory(subject)
        assert not drop_memory(subject)
        assert shown(subject) == text_of_bound()


def text_of_bound() -> str:
    with converted(GIVEN, SOURCE) as subject:
        bind_weights(subject)
        return shown(subject)


@pytest.mark.parametrize("name", ["layer.weight", 'a"b', "a\\b", "a\nb", "\u00e9", "\0"])
def test_a_weight_of_any_name_is_read_again_by_its_name(name: str) -> None:
    source = replace(SOURCE, inputs=(replace(V, weight=name), X, W, BYTES, X))
    with converted(GIVEN, source) as subject:
        bind_weights(subject)
        code = subject.serialised()
    with converted(code, source) as subject:
        first = subject.operations("util.global")[0].attributes["initial_value"]
        literal = "".join(f"\\{byte:02X}" for byte in name.encode())
        assert first == ir.Attribute.parse(f'#flow.parameter.named<"model"::"{literal}"> : {T}')


LOOP = f"""%i = arith.constant 0 : index
    %r = scf.for %k = %i to %i step %i iter_args(%t = %x) -> ({T}) {{
      scf.yield %t : {T}
    }}"""


def test_where_memory_gains_nothing() -> None:
    small = Port("x", DType.FLOAT32, (4,)), Port("w", DType.FLOAT32, (4,), "w")
    t = "tensor<4xf32>"
    text = function(f"(%x: {t}, %w: {t}) -> {t}", f"util.return %x : {t}")
    source = Module(b"", small, small[:1])
    assert "main_in" not in text_through(text, bind_weights, source=source, memory=True)
    looped = GIVEN.replace("    util.return %x", f"    {LOOP}\n    util.return %r")
    assert "main_in" not in text_through(looped, bind_weights, source=SOURCE, memory=True)


BY_ELEMENT = f"""%r = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}}
      outs(%x : {T}) {{
    ^bb0(%e: f32):
      %yes = arith.constant true
      %s = scf.if %yes -> (f32) {{
        scf.yield %e : f32
      }} else {{
        scf.yield %e : f32
      }}
      linalg.yield %s : f32
    }} -> {T}"""


def test_a_choice_for_each_element_is_none_of_the_hosts() -> None:
    chosen = GIVEN.replace("    util.return %x", f"    {BY_ELEMENT}\n    util.return %r")
    assert "main_in" in text_through(chosen, bind_weights, source=SOURCE, memory=True)


def test_memory_gains_for_a_module_whose_sizes_a_call_says() -> None:
    size: Any = Assumptions({"n": Range(1, 8)}, {"n": 4}).size(Symbol("n"))
    ports = Port("x", DType.FLOAT32, (size,)), Port("w", DType.FLOAT32, (4,), "w")
    text = function(
        "(%x: tensor<?xf32>, %w: tensor<4xf32>) -> tensor<?xf32>", "util.return %x : tensor<?xf32>"
    )
    source = Module(b"", ports, ports[:1])
    assert "main_in" in text_through(text, bind_weights, source=source, memory=True)


def test_a_module_without_weights_stays() -> None:
    text = function(f"(%x: {T}) -> {T}", f"util.return %x : {T}")
    source = Module(b"", (X,), (X,))
    assert text_through(text, bind_weights, source=source, memory=True) == text_through(text)


OTHERS = {
    "another type": GIVEN.replace("%d: tensor<128x128xf32>", "%d: tensor<128xf32>"),
    "signed": GIVEN.replace(f"%c: {B} {U}", f"%c: {B}"),
    "a signed result": GIVEN.replace(f"{B} {U}) {{", f"{B}) {{"),
    "another name": GIVEN.replace("@main(", "@mine("),
    "private": GIVEN.replace("public @main", "private @main"),
    "one beside it": GIVEN.replace(
        "module {", f"module {{\n  util.func public @other(%x: {T}) {{\n util.return\n }}"
    ),
    "a declaration beside it": GIVEN.replace("module {", f"module {{\n  util.func private @other(%x: {T})"),
    "a result in place": GIVEN.replace(f"-> ({T},", "-> (%x,"),
    "more than it says": GIVEN.replace(f"%x: {T}", f"%x: {T} {{iree.abi.output = 0 : index}}"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_entries_are_refused(name: str) -> None:
    with pytest.raises(EngineError, match=r"iree m: .* its @main has other types than its ports"):
        text_through(OTHERS[name], check_entry, source=SOURCE)


def test_what_iree_has_no_type_for_is_refused() -> None:
    odd = Port("odd", DType.COMPLEX32, (4,))
    with pytest.raises(EngineError, match=r"iree has no complex32 element type \(odd\)"):
        text_through(GIVEN, check_entry, source=Module(b"", (odd,), ()))
