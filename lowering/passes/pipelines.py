"""The pipelines over programs: every rewrite of a `Program`, in its order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from lowering.ir.aten import schema
from lowering.ir.program import Program
from lowering.ir.weights import Weights
from lowering.passes.adapters import AdaptedLayer
from lowering.passes.pipeline import Pipeline, listed
from lowering.passes.program import FUNCTIONAL, program_pipeline
from lowering.passes.rewriting import SchemaOf

_pass = partial(listed, "lowering.passes")

#: Makes a program that ATen can run node by node, as for eager and for a program that is not functional. The
#: calls around a vmap mean nothing by themselves, so that no later pipeline can take them.
IMPORT = program_pipeline(
    "import",
    _pass("dissolve_effects:DISSOLVE_EFFECTS"),
    _pass("fold_vmaps:FOLD_VMAPS"),
    _pass("meta_to_cpu:META_TO_CPU"),
    _pass("correct_offsets:CORRECT_OFFSETS"),
)


def canonical(
    weights: Weights | None = None, schema_of: SchemaOf = schema, held: Collection[str] = ()
) -> Pipeline[Program]:
    """From a program as read to the one that is partitioned; it raises NotFunctional where there is none.

    `weights` says which weights share memory. `schema_of` knows the operators. `held`: full names of buffers
    that other methods write.
    """
    return program_pipeline(
        "canonical",
        _pass("inline:INLINE"),
        _pass("correct_dtypes:CORRECT_DTYPES"),
        _pass("batch_maps:BATCH_MAPS"),
        _pass("merge_tied_weights:merge_tied_weights", weights),
        _pass("functionalise:functionalise", weights, schema_of),
        _pass("offset_claims:OFFSET_CLAIMS"),
        _pass("eliminate_dead_code:eliminate_dead_code", schema_of),
        _pass("sliced_writes:SLICED_WRITES"),
        _pass("masked_writes:MASKED_WRITES"),
        _pass("held_buffers:hold_buffers", held),
    )


def adapted(layers: Sequence[AdaptedLayer] = ()) -> Pipeline[Program]:
    """From a program without writes to the one that takes low-rank adapters of these layers."""
    return program_pipeline("adapted", _pass("adapters:add_adapters", layers), given=(FUNCTIONAL,))
