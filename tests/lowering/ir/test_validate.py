"""Every rule about programs: what keeps it passes, what breaks it is named."""

from dataclasses import replace

import pytest

from lowering.frontend.pt2 import read
from lowering.ir import validate as rules
from lowering.ir.program import Argument, OutputKind, OutputSpec, Range, Ref
from lowering.ir.symbols import Symbol
from lowering.ir.tree import LEAF
from lowering.ir.types import DType, SymKind, SymType, TensorType
from lowering.ir.validate import InvalidProgram, validate
from lowering.passes.pipelines import canonical
from tests.lowering.ir.programs import FILES


def sample(name):
    return read(next(path for path in FILES if path.stem == name and path.parent.name == "torch-2.13.0"))[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_samples_are_valid(path):
    program, weights = read(path)[:2]
    validate(program)
    validate(canonical(weights).run(program), functional=True)


MLP, BRANCH = sample("mlp"), sample("branch")
FIRST = MLP.graph.nodes[0]
X = TensorType(DType.FLOAT32, (2,), (1,))


def with_graph(program, **changes):
    return replace(program, graph=replace(program.graph, **changes))


def with_first(**changes):
    return with_graph(MLP, nodes=(replace(FIRST, **changes), *MLP.graph.nodes[1:]))


def with_values(**types):
    return with_graph(MLP, values={**MLP.graph.values, **types})


def with_signature(program, **changes):
    return replace(program, signature=replace(program.signature, **changes))


def with_outputs(*specs):
    specs = (*specs, *MLP.signature.outputs)
    changed = with_signature(MLP, outputs=specs)
    return with_graph(changed, outputs=tuple(spec.value for spec in specs))


BAD = {
    "used_after_definition": [
        (with_graph(MLP, nodes=MLP.graph.nodes[1:]), "reads linear, which nothing before it defines"),
        (with_graph(MLP, nodes=()), "it returns softmax, which nothing defines"),
    ],
    "defined_once": [
        (with_graph(MLP, nodes=(FIRST, *MLP.graph.nodes)), "linear is defined more than once"),
        (with_first(name="gelu"), "two nodes are named gelu"),
    ],
    "typed": [
        (with_values(stray=X), "stray has a type, but nothing defines it"),
        (with_graph(MLP, values={}), "linear has no type"),
    ],
    "ranks_agree": [
        (with_values(linear=TensorType(DType.FLOAT32, (2, 3), (1,))), "linear has 2 sizes and 1 strides"),
        (with_values(linear=TensorType(DType.FLOAT32, (-2,), (1,))), "linear has a negative size"),
    ],
    "arguments_fit": [
        (with_first(args=(Argument("inpt", Ref("x")),)), "aten.linear.default has no argument 'inpt'"),
        (with_first(target="aten.linear.Tensor"), "ATen has no aten.linear.Tensor"),
        (with_first(outputs=("linear", None)), "aten.linear.default has 1 results, not 2"),
    ],
    "results_fit": [
        (
            with_first(target="aten.dim.default", args=(Argument("self", Ref("x")),)),
            "aten.dim.default returns int, which linear is not",
        ),
        (
            with_values(linear=SymType(SymKind.INT, 3)),
            "aten.linear.default returns Tensor, which linear is not",
        ),
    ],
    "branches_fit": [
        (
            with_graph(
                BRANCH,
                nodes=(
                    *BRANCH.graph.nodes[:-1],
                    replace(
                        BRANCH.graph.nodes[-1],
                        args=(*BRANCH.graph.nodes[-1].args[:3], Argument("", (Ref("x"), Ref("x")))),
                    ),
                ),
            ),
            "true_graph_0 takes 1 values, given 2",
        ),
    ],
    "inputs_parallel": [
        (with_graph(MLP, inputs=MLP.graph.inputs[:-1]), "the signature has 5 inputs, the graph 4"),
        (with_graph(MLP, inputs=(Ref("q"), *MLP.graph.inputs[1:])), "in the signature and q in the graph"),
        (with_graph(MLP, inputs=(*MLP.graph.inputs[:-1], 3)), "x, is a user, but the graph has 3"),
    ],
    "outputs_parallel": [
        (with_graph(MLP, outputs=()), "the signature has 1 outputs, the graph 0"),
        (with_graph(MLP, outputs=(Ref("linear"),)), "is %softmax in the signature and %linear in the graph"),
    ],
    "destinations_exist": [
        (with_outputs(OutputSpec(OutputKind.BUFFER_MUTATION, Ref("x"), "no")), "no, which is not such an in"),
        (
            with_outputs(*[OutputSpec(OutputKind.INPUT_MUTATION, Ref("x"), "x")] * 2),
            "there are two outputs for the input_mutation x",
        ),
    ],
    "trees_fit": [
        (with_signature(MLP, in_spec=LEAF, inputs=MLP.signature.inputs[:-1]), "structure has 1 leaves"),
        (with_signature(MLP, outputs=()), "the results' structure has 1 leaves, the signature 0"),
    ],
    "symbols_bound": [
        (
            with_values(linear=TensorType(DType.FLOAT32, (Symbol("s5"),), (1,))),
            "linear has the symbol s5, without range or origin",
        ),
        (replace(MLP, ranges={"s0": Range(3, 2)}), "the range of s0 is empty"),
    ],
}


def test_every_rule_has_its_case():
    assert set(BAD) == {rule.__name__ for rule in (*rules.GRAPH_RULES, *rules.PROGRAM_RULES)}


@pytest.mark.parametrize(("rule", "program", "message"), [(r, p, m) for r in BAD for p, m in BAD[r]])
def test_what_breaks_a_rule_is_named(rule, program, message):
    with pytest.raises(InvalidProgram) as caught:
        validate(program)
    assert any(message in violation for violation in caught.value.violations), caught.value.violations
    assert message in str(caught.value) or len(caught.value.violations) > 20


def test_functional_programs_write_nothing():
    program = sample("input_mutation")
    with pytest.raises(InvalidProgram, match=r"node add_: aten.add_.Tensor writes to its arguments"):
        validate(program, functional=True)


def test_everything_is_listed():
    program = with_graph(with_first(target="aten.no.no"), outputs=())
    with pytest.raises(InvalidProgram) as caught:
        validate(program)
    assert len(caught.value.violations) >= 2
