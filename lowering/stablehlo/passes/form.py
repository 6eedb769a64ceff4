"""The rewrites of a form, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lowering.ir.module import Module
from lowering.stablehlo import hlo
from lowering.stablehlo.hlo import func, ir
from lowering.stablehlo.passes import Form
from lowering.stablehlo.passes.blocks import in_blocks
from lowering.stablehlo.passes.convolution import fold_scales
from lowering.stablehlo.passes.dots import even_batches, pad_rows, weights_in_out
from lowering.stablehlo.passes.exact import exact
from lowering.stablehlo.passes.halves import products_rounded
from lowering.stablehlo.passes.layout import channels_last
from lowering.stablehlo.passes.load_time import split
from lowering.stablehlo.passes.quotients import divisions
from lowering.stablehlo.passes.rewrite import erase_dead, weight_arguments
from lowering.stablehlo.passes.subnormals import compare_subnormals
from lowering.stablehlo.passes.widened import widened


def form(module: Module, wanted: Form) -> Module:
    """The module in this form: the same arguments that come with a call, the same results.

    With `load_time`, weights that nothing reads as they are go, and results of `load` take their place.
    """
    with hlo.make_context() as context, ir.Location.unknown():
        parsed = hlo.deserialize(module.code, context)
        entry = _entry(parsed)
        weights = weight_arguments(entry, module)
        for rewrite in _rewrites(wanted):
            rewrite(entry, weights)
        erase_dead(entry.entry_block)
        # A weight that many operations read, as an LSTM's steps do, is laid out once, not once for each.
        # What is dead must be gone before: of a chain that nothing reads this drops the end alone.
        hlo.merge_equal(parsed)
        if wanted.load_time:
            return split(module, entry)
        parsed.operation.verify()
        return replace(module, code=hlo.serialize(parsed))


def _rewrites(wanted: Form) -> list[Callable[[func.FuncOp, set[ir.Value]], None]]:
    chosen: list[Callable[[func.FuncOp, set[ir.Value]], None]] = []
    if wanted.channels_last:
        chosen += [fold_scales, lambda entry, weights: channels_last(entry, wanted, weights)]
    if wanted.blocks:
        chosen.append(lambda entry, weights: in_blocks(entry))
    if wanted.even:
        chosen.append(even_batches)
    if wanted.in_out:
        chosen.append(weights_in_out)
    if wanted.padded_rows:
        chosen.append(lambda entry, weights: pad_rows(entry))
    if wanted.widened:
        chosen.append(widened)
    if wanted.exact:
        chosen.append(lambda entry, weights: exact(entry.entry_block))
    if wanted.divisions:
        chosen.append(lambda entry, weights: divisions(entry.entry_block))
    if wanted.products:
        chosen.append(lambda entry, weights: products_rounded(entry.entry_block))
    if wanted.subnormals:
        chosen.append(lambda entry, weights: compare_subnormals(entry.entry_block))
    return chosen


def _entry(module: ir.Module) -> func.FuncOp:
    return next(op for op in module.body.operations if isinstance(op, func.FuncOp))
