"""The pipelines over programs: every rewrite of a `Program`, in its order."""

from __future__ import annotations

from lowering.ir.aten import schema
from lowering.ir.program import Program
from lowering.ir.weights import Weights
from lowering.passes.batch_maps import BATCH_MAPS
from lowering.passes.correct_dtypes import CORRECT_DTYPES
from lowering.passes.eliminate_dead_code import eliminate_dead_code
from lowering.passes.fold_vmaps import FOLD_VMAPS
from lowering.passes.functionalise import functionalise
from lowering.passes.inline import INLINE
from lowering.passes.merge_tied_weights import merge_tied_weights
from lowering.passes.pipeline import Pipeline
from lowering.passes.program import program_pipeline
from lowering.passes.rewriting import SchemaOf

#: Makes a program as read one that ATen can run node by node, as eager and a program that is not functional
#: are run. The calls around a vmap mean nothing by themselves, so that no later pipeline can take them.
IMPORT = program_pipeline("import", FOLD_VMAPS)


def canonical(weights: Weights | None = None, schema_of: SchemaOf = schema) -> Pipeline[Program]:
    """From a program as read to the one that is partitioned; it raises NotFunctional where there is none.

    `weights` says which weights share memory. `schema_of` knows the operators.
    """
    return program_pipeline(
        "canonical",
        INLINE,
        CORRECT_DTYPES,
        BATCH_MAPS,
        merge_tied_weights(weights),
        functionalise(weights, schema_of),
        eliminate_dead_code(schema_of),
    )
