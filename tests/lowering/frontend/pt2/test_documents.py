"""A document that is not what the schema says is refused, and the message says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowering.frontend.pt2 import read

from .damage import CONSTANTS, MODEL, drop, node, put, refusal, rewrite, sample

GRAPH = ("graph_module", "graph")
SIGNATURE = ("graph_module", "signature")
FIRST = (*GRAPH, "nodes", 0)
ROOT_CALL = ("graph_module", "module_call_graph", 0)

EDITS: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("major version", "mlp", put("schema_version", "major", value=7), "schema version 7.20 is not 8.x"),
    ("later major", "mlp", put("schema_version", "major", value=9), "9.20 is newer"),
    ("no version", "mlp", drop("schema_version"), "the field 'schema_version' is missing"),
    ("wrong type", "mlp", put("schema_version", value=[8, 20]), "schema_version: expected an object"),
    ("no graph", "mlp", drop(*GRAPH), "graph_module: the field 'graph' is missing"),
    ("no target", "mlp", drop(*FIRST, "target"), "graph.nodes[0]: the field 'target' is missing"),
    ("target", "mlp", put(*FIRST, "target", value=3), "nodes[0].target: expected a name, got 3"),
    ("empty argument", "mlp", put(*FIRST, "inputs", 0, "arg", value={}), "nodes[0].inputs[0].arg: expected"),
    ("argument kind", "mlp", put(*FIRST, "inputs", 0, "arg", value={"as_new": 1}), "argument 'as_new'"),
    ("no name", "mlp", drop(*FIRST, "inputs", 0, "name"), "inputs[0]: the field 'name' is missing"),
    (
        "undefined value",
        "mlp",
        put(*FIRST, "inputs", 0, "arg", "as_tensor", "name", value="gelu"),
        "the value 'gelu' is used, but nothing before has defined it",
    ),
    (
        "untyped value",
        "mlp",
        drop(*GRAPH, "tensor_values", "linear"),
        "nodes[0].outputs[0]: the value 'linear' has no type",
    ),
    (
        "value defined twice",
        "mlp",
        put(*GRAPH, "nodes", 1, "outputs", 0, "as_tensor", "name", value="linear"),
        "the value 'linear' is defined twice",
    ),
    ("node name twice", "mlp", put(*FIRST, "name", value="gelu"), "two nodes have the same name"),
    (
        "undefined output",
        "mlp",
        put(*GRAPH, "outputs", 0, "as_tensor", "name", value="nothing"),
        "outputs[0].as_tensor: the value 'nothing'",
    ),
    (
        "literal as a node's output",
        "mlp",
        put(*FIRST, "outputs", 0, value={"as_int": 3}),
        "a node's output is a value",
    ),
    ("dtype", "mlp", put(*GRAPH, "tensor_values", "x", "dtype", value=0), "no dtype has the code 0"),
    ("layout", "mlp", put(*GRAPH, "tensor_values", "x", "layout", value=99), "no layout has the code 99"),
    (
        "bool as a code",
        "mlp",
        put(*GRAPH, "tensor_values", "x", "dtype", value=True),
        "expected an integer, got True",
    ),
    (
        "negative size",
        "mlp",
        put(*GRAPH, "tensor_values", "x", "sizes", 0, "as_int", value=-1),
        "sizes[0]: expected a size of 0 or more",
    ),
    (
        "huge size",
        "mlp",
        put(*GRAPH, "tensor_values", "x", "sizes", 0, "as_int", value=1 << 70),
        "does not fit in 64 bits",
    ),
    ("fewer strides", "mlp", drop(*GRAPH, "tensor_values", "x", "strides", 0), "2 sizes, but 1 strides"),
    (
        "expression",
        "mlp_dynamic",
        put(*GRAPH, "tensor_values", "x", "sizes", 0, "as_expr", "expr_str", value="__import__('os')"),
        "sizes[0].as_expr.expr_str: cannot read the expression",
    ),
    ("range", "mlp_dynamic", put("range_constraints", "s77", "min_val", value="a"), "['s77'].min_val"),
    ("empty range", "mlp_dynamic", put("range_constraints", "s77", "min_val", value=65), "65 to 64 is empty"),
    ("guard", "mlp_dynamic", put("guards_code", value=["import os"]), "guards_code[0]: cannot read"),
    (
        "in a branch",
        "branch",
        put(*GRAPH, "nodes", 2, "inputs", 1, "arg", "as_graph", "graph", "nodes", 0, "target", value=None),
        "nodes[2].inputs[1].arg.as_graph.graph.nodes[0].target: expected a name",
    ),
    # the signature
    ("no signature", "mlp", drop(*SIGNATURE), "the field 'signature' is missing"),
    ("fewer inputs", "mlp", drop(*SIGNATURE, "input_specs", 0), "4 input specs for 5 graph inputs"),
    ("fewer outputs", "mlp", drop(*SIGNATURE, "output_specs", 0), "0 output specs for 1 graph outputs"),
    (
        "input under another name",
        "mlp",
        put(*SIGNATURE, "input_specs", 0, "parameter", "arg", "name", value="x"),
        "input_specs[0]: 'x' here, but 'p_net_0_weight' in the graph",
    ),
    (
        "output under another name",
        "mlp",
        put(*SIGNATURE, "output_specs", 0, "user_output", "arg", "as_tensor", "name", value="x"),
        "'x' here, but %softmax in the graph",
    ),
    ("kind of input", "mlp", put(*SIGNATURE, "input_specs", 0, value={"new": {}}), "unknown kind of input"),
    ("kind of output", "mlp", put(*SIGNATURE, "output_specs", 0, value={"new": {}}), "kind of output"),
    (
        "mutation of nothing",
        "mlp",
        put(
            *SIGNATURE,
            "output_specs",
            0,
            value={"buffer_mutation": {"arg": {"name": "softmax"}, "buffer_name": "cache"}},
        ),
        "no buffer input is called 'cache'",
    ),
    (
        "no weight",
        "mlp",
        put(*SIGNATURE, "input_specs", 0, "parameter", "parameter_name", value="lost"),
        "the parameter 'lost' has no weight",
    ),
    (
        "weight bound twice",
        "mlp",
        put(*SIGNATURE, "input_specs", 0, "parameter", "parameter_name", value="net.0.bias"),
        "'net.0.bias' is bound to two inputs",
    ),
    ("no root call", "mlp", put(*ROOT_CALL, "fqn", value="other"), "expected one entry for the root module"),
    ("spec text", "mlp", put(*ROOT_CALL, "signature", "in_spec", value="{"), "in_spec: a tree spec"),
    (
        "spec leaves",
        "mlp",
        put(*ROOT_CALL, "signature", "out_spec", value='[1, {"type": "builtins.tuple", "context": "null", '
        '"children_spec": []}]'),
        "out_spec has 0 leaves, but the signature 1 user outputs",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "edit", "words"), [row[1:] for row in EDITS], ids=[row[0] for row in EDITS])
def test_document(tmp_path: Path, name: str, edit: Callable[[Any], Any], words: str):
    message = refusal(rewrite(sample(name), tmp_path / "m.pt2", {MODEL: edit}))
    assert words in message, message


def test_branches_nested_too_deeply(tmp_path: Path):
    def nest(document: Any) -> None:
        argument = node(document, 2)["inputs"][1]["arg"]["as_graph"]
        inner = json.dumps(argument["graph"])
        graph = json.loads(inner)
        for _ in range(40):
            outer = json.loads(inner)
            outer["nodes"][0]["inputs"][0]["arg"] = {"as_graph": {"name": "g", "graph": graph}}
            graph = outer
        argument["graph"] = graph

    message = refusal(rewrite(sample("branch"), tmp_path / "m.pt2", {MODEL: nest}))
    assert "graphs are nested more than 32 deep" in message


def test_a_used_script_object_is_named(tmp_path: Path):
    def use(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        reference = {"name": "obj_queue", "class_fqn": "__torch__.torch.classes.a.Queue"}
        graph["custom_obj_values"]["obj_queue"] = reference
        graph["inputs"].insert(0, {"as_custom_obj": reference})
        spec = {"custom_obj": {"arg": reference, "custom_obj_name": "queue"}}
        document["graph_module"]["signature"]["input_specs"].insert(0, spec)

    def config(document: Any) -> None:
        document["config"]["queue"] = {
            "path_name": "custom_obj_0",
            "is_param": False,
            "use_pickle": True,
            "tensor_meta": None,
        }

    def use_it(document: Any) -> None:
        use(document)
        value = {"as_custom_obj": document["graph_module"]["graph"]["custom_obj_values"]["obj_queue"]}
        node(document)["inputs"][0]["arg"] = value

    unused = rewrite(sample("mlp"), tmp_path / "unused.pt2", {MODEL: use, CONSTANTS: config})
    program, weights = read(unused)
    assert "queue" not in weights.views
    assert program.signature.inputs[0].fqn == "queue"
    used = rewrite(sample("mlp"), tmp_path / "used.pt2", {MODEL: use_it, CONSTANTS: config})
    assert "the script object 'queue' is used" in refusal(used)
