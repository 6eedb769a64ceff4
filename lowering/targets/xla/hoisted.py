"""The results of a load-time part: the key of each, apart from the others, and one of each for all sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

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


class Made:
    """A result of a load-time part, with its weights: no others shall lie at their addresses."""

    def __init__(self, array: Any, weights: Sequence[Any]) -> None:
        self.array = array
        self._weights = tuple(weights)


# One for all segments and sizes that need the same of the same weights, as long as one of them lives.
all_made: WeakValueDictionary[tuple[Any, ...], Made] = WeakValueDictionary()


def shared_results(
    keys: Sequence[tuple[str, Sequence[int]]],
    weights: Sequence[Any],
    starts: Sequence[int],
    place: str,
    run: Callable[[], Sequence[Any]],
) -> list[Made]:
    """The results of a load-time part; `run`, which makes all of them, is called where one is not there yet.

    `keys`: as `result_keys` gives them. `starts`: the weights' addresses on the device at `place`. Some
    results differ from size to size, as a table of places that is cut does: they are seldom large.
    """
    found = [(key, place, *(starts[at] for at in places)) for key, places in keys]
    made = [all_made.get(key) for key in found]
    if None in made:
        for at, (array, (_, places)) in enumerate(zip(run(), keys, strict=True)):
            new = Made(array, [weights[each] for each in places])
            made[at] = made[at] or all_made.setdefault(found[at], new)
    return [each for each in made if each is not None]
