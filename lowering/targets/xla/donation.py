"""Donated arguments, as XLA is told of them: an attribute on the argument that names the result."""

from __future__ import annotations

from io import BytesIO

from jax.extend import mlir
from jax.extend.mlir import ir
from jax.interpreters.mlir import make_ir_context

from lowering.ir.module import Module

_ALIAS = "tf.aliasing_output"


def with_aliases(module: Module) -> bytes:
    """The module's bytecode with each donated argument marked as the place of its result.

    XLA then writes the result where the argument lies, and copies first what it still has to read.
    """
    pairs = dict(module.donations())
    with make_ir_context() as context, ir.Location.unknown():
        parsed = mlir.deserialize_portable_artifact(module.code, context)
        functions = {op.attributes["sym_name"].value: op for op in parsed.body.operations}
        integer = ir.IntegerType.get_signless(32)
        functions["main"].attributes["arg_attrs"] = ir.ArrayAttr.get(
            [
                ir.DictAttr.get({_ALIAS: ir.IntegerAttr.get(integer, pairs[at])} if at in pairs else {})
                for at in range(len(module.inputs))
            ]
        )
        code = BytesIO()
        parsed.operation.write_bytecode(code)
        return code.getvalue()
