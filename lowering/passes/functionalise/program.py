"""`functionalise`: the pass over a whole program and its signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lowering.ir.aten import schema
from lowering.ir.program import (
    MUTATIONS,
    Arg,
    InputKind,
    InputSpec,
    Node,
    OutputKind,
    OutputSpec,
    Program,
    Signature,
    all_nodes,
)
from lowering.ir.weights import Weights
from lowering.passes.errors import NotFunctional
from lowering.passes.functionalise.rewrite import Rewriter
from lowering.passes.merge_tied_weights import same_weights
from lowering.passes.pipeline import Pass
from lowering.passes.program import FUNCTIONAL
from lowering.passes.rewriting import SchemaOf

_KINDS = {
    InputKind.PARAMETER: OutputKind.PARAMETER_MUTATION,
    InputKind.BUFFER: OutputKind.BUFFER_MUTATION,
    # A tensor that the module holds without registering it: state like a buffer, once it is written.
    InputKind.CONSTANT: OutputKind.BUFFER_MUTATION,
    InputKind.USER: OutputKind.INPUT_MUTATION,
}


def functionalise(weights: Weights | None = None, schema_of: SchemaOf = schema) -> Pass[Program]:
    """The pass that makes a program without writes: nodes that write give the written copy as a value.

    Writes to buffers, parameters and user inputs become outputs of the program, before its own. `weights`
    says which weights share memory. `schema_of` knows the operators; one outside ATen whose schema it does
    not know is taken to write.

    It raises NotFunctional for writes that have no such form. These are writes through views without a known
    inverse, to tensors that may share elements, and inside a branch to outer values.
    """

    def may_write(node: Node) -> bool:
        found = schema_of(node.target)
        return found is None or found.may_write()

    def run(program: Program) -> Program:
        if not any(may_write(node) for node in all_nodes(program.graph.nodes) if not node.functional):
            return program
        same = same_weights(program.signature, weights)
        rewriter = Rewriter(program.graph, schema_of)
        graph = rewriter.run()
        check_shared(program.signature, rewriter.written, weights, same)
        outputs, signature = _with_mutations(program.signature, rewriter, same)
        return replace(program, graph=replace(graph, outputs=outputs), signature=signature)

    return Pass(
        "functionalise",
        run,
        "Turn writes into values, and what they write to buffers and inputs into outputs.",
        ensures=(FUNCTIONAL,),
        required=True,
    )


def _with_mutations(
    signature: Signature, rewriter: Rewriter, same: Mapping[str, str]
) -> tuple[tuple[Arg, ...], Signature]:
    """The signature's outputs, up to date; outputs for writes come before the returned ones."""
    stated = {(spec.kind, spec.destination) for spec in signature.outputs}
    leading: list[OutputSpec] = []
    trailing: list[OutputSpec] = []
    values = rewriter.outputs
    for spec, value in zip(signature.outputs, values, strict=True):
        place = leading if spec.kind in (OutputKind.TOKEN, *MUTATIONS) else trailing
        place.append(replace(spec, value=value))
    for spec in signature.inputs:
        name = same.get(spec.name, spec.name)
        node = rewriter.written.get(name)
        if node is None:
            continue
        kind, destination = _mutation(spec, node)
        if (kind, destination) not in stated:
            leading.append(OutputSpec(kind, rewriter.read(name), destination))
    outputs = (*leading, *trailing)
    return tuple(spec.value for spec in outputs), replace(signature, outputs=outputs)


def _mutation(spec: InputSpec, node: Node) -> tuple[OutputKind, str | None]:
    kind = _KINDS.get(spec.kind)
    if kind is None:
        raise NotFunctional(f"it writes to the {spec.kind.value} {spec.fqn or spec.name}", node)
    return kind, spec.name if kind is OutputKind.INPUT_MUTATION else spec.fqn


def check_shared(
    signature: Signature, written: Mapping[str, Node], weights: Weights | None, same: Mapping[str, str]
) -> None:
    """Refuse writes to weights that share some of their memory with another weight of the program."""
    if weights is None:
        return
    owners: dict[str, list[str]] = {}
    for spec in signature.inputs:
        view = weights.views.get(spec.fqn) if spec.fqn is not None else None
        if view is not None and spec.fqn is not None and spec.name not in same:
            owners.setdefault(view.storage, []).append(spec.fqn)
    for spec in signature.inputs:
        node = written.get(spec.name)
        view = weights.views.get(spec.fqn) if spec.fqn is not None else None
        if node is not None and view is not None and len(owners[view.storage]) > 1:
            others = ", ".join(name for name in owners[view.storage] if name != spec.fqn)
            raise NotFunctional(f"it writes to {spec.fqn}, which shares its memory with {others}", node)
