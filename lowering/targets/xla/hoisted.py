"""The results of a load-time part: what each computes, apart from the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from lowering.ir.module import Module


def result_keys(load: Module) -> list[tuple[str, list[int]]]:
    """For each result, a digest of what it computes, and the places of the weights that it comes from.

    Results of equal digests are equal where those weights are, whatever the rest of their modules does. The
    digest has the weights' names, and their places are in the order of names.
    """
    from lowering.stablehlo import hlo
    from lowering.stablehlo.hlo import ir

    with hlo.make_context() as context, ir.Location.unknown():
        # Its blocks go with it.
        module = hlo.deserialize(load.code, context)
        block = hlo.main_of(module).entry_block
        behind = {value: frozenset((at,)) for at, value in enumerate(block.arguments)}
        digests = {value: str(load.inputs[at].weight) for at, value in enumerate(block.arguments)}
        returned: list[ir.Value] = []
        for op in block.operations:
            operands = list(op.operands)
            if op.operation.name == "func.return":
                returned = operands
                continue
            inputs = frozenset[int]().union(*(behind[value] for value in operands))
            attributes = sorted(f"{name}={op.attributes[name]}" for name in op.attributes)
            types = [str(value.type) for value in (*operands, *op.results)]
            # The text of a region names values by their numbers in the module: it may differ without need.
            inside = str(op) if list(op.regions) else ""
            made_of = [digests[value] for value in operands]
            text = repr((op.operation.name, attributes, types, inside, made_of))
            for at, result in enumerate(op.results):
                behind[result] = inputs
                digests[result] = hashlib.sha256(f"{at} {text}".encode()).hexdigest()
        return [(digests[value], sorted(behind[value], key=_name(load))) for value in returned]


def _name(load: Module) -> Callable[[int], str]:
    return lambda at: str(load.inputs[at].weight)
