"""The operators that a file may have ATen run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.operators import MEASURED
from lowering.ir import allowed as module
from lowering.ir import aten
from lowering.ir.allowed import REASONS, refusal, refused_node
from lowering.ir.homes import HOMES
from lowering.ir.program import Operator
from lowering.ir.types import Layout
from tests.fuzz.calls import sampled
from tests.lowering.graphs import node

GENERATOR = Path(__file__).parents[3] / "third_party" / "generate_allowed.py"


def test_the_table_is_what_its_generator_writes() -> None:
    """In a process of its own, in which no other test has registered operators."""
    code = (
        f"import runpy; found = runpy.run_path({str(GENERATOR)!r}); "
        "print(found['text'](found['table']()), end='')"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert Path(module.__file__).with_name("allowed.json").read_text() == made


def test_every_operator_that_is_known_without_torch_is_in_the_table():
    table = json.loads(Path(module.__file__).with_name("allowed.json").read_text())
    refused = [target for targets in table["refused"].values() for target in targets]
    assert set(refused).isdisjoint(table["allowed"])
    assert len(set(refused)) == len(refused)
    for namespace in ("aten", "prims", "quantized_decomposed", "torchao", "transformers"):
        assert set(aten.targets(namespace)) <= {*refused, *table["allowed"]}
    assert set(table["refused"]) == set(REASONS)


def test_the_operators_of_our_samples_may_be_run():
    refused = {target for target, _, _ in sampled() if refusal(target) is not None}
    assert refused == set()


def test_the_operators_that_the_database_met_may_be_run():
    met = json.loads(MEASURED.read_text())["operators"]
    assert {target for target in met if refusal(target) is not None} == set()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("aten.from_file.default", "gives a tensor other memory"),
        ("aten.set_.source_Tensor_storage_offset", "gives a tensor other memory"),
        ("aten._sparse_csr_tensor_unsafe.default", "sparse"),
        ("aten.mkldnn_rnn_layer.default", "packed tensors"),
        ("aten._print.default", "more than the program's values"),
        ("aten.manual_seed.default", "not among the operators"),
        ("aten.manual_seed.generator", "not among the operators"),
        ("aten.save.default", "not among the operators"),
        ("aten._foreach_copy.default", "trusts its arguments"),
        ("aten._cudnn_rnn.default", "more than the program's values"),
        ("aten._thnn_fused_lstm_cell.default", "no kernel for the CPU"),
        ("aten._make_dual.default", "torch's insides"),
        ("inductor._alloc_from_pool.default", "not among the operators"),
        ("inductor.resize_storage_bytes_.default", "not among the operators"),
        ("prims._make_token.default", "not among the operators"),
        ("quantized.linear.default", "not among the operators"),
        ("onednn.qlinear_pointwise.default", "not among the operators"),
        ("mkldnn._linear_pointwise.default", "not among the operators"),
        ("prim.device.default", "not among the operators"),
        ("profiler._record_function_enter_new.default", "not among the operators"),
        ("symm_mem.one_shot_all_reduce.default", "not among the operators"),
        ("torchao.int_scaled_matmul.default", f"import {HOMES['torchao']} yourself"),
    ],
)
def test_what_a_file_may_not_call(target: str, why: str):
    text = refusal(target)
    assert text is not None
    assert text.startswith(f"a file may not call {target}: ")
    assert why in text


def test_a_namespace_that_is_not_torchs_is_its_users(monkeypatch: pytest.MonkeyPatch):
    assert refusal("mine.op.default") is None
    # Who imported a package may have all its operators run, and not only those that we know.
    monkeypatch.setitem(sys.modules, HOMES["torchao"], module)
    assert refusal("torchao.int_scaled_matmul.default") is None
    assert refusal("torchao.quantize_affine.default") is None


def test_operators_and_layouts_among_the_arguments():
    assert refused_node(node("y", "higher_order.out_dtype", Operator("aten.mm.default"))) is None
    nested = node("y", "higher_order.with_effects", (Operator("aten._print.default"),))
    assert "aten._print.default" in str(refused_node(nested))
    sparse = node("y", "aten.to.dtype_layout", "%x", layout=Layout.SPARSE_COO)
    assert "for the layout sparse_coo" in str(refused_node(sparse))
    assert refused_node(node("y", "aten.to.dtype_layout", "%x", layout=Layout.STRIDED)) is None


def test_a_number_with_which_an_operator_does_not_end():
    assert "does not end" in str(refused_node(node("y", "aten.matrix_power.default", "%x", -(1 << 63))))
    assert refused_node(node("y", "aten.matrix_power.default", "%x", 1 - (1 << 63))) is None
