"""The states of all values of a module, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from lowering.stablehlo.hlo import ir
from lowering.stablehlo.recovered_sizes import RecoveredSizes
from lowering.stablehlo.rows.numbers import Known, known_of, placed, stands_for
from lowering.stablehlo.rows.states import SAME, Batch, Mixed, MixedRows, Rows, Same, State
from lowering.stablehlo.symbolic import Specialised

# The states of an operation's results, of one rule. Raises MixedRows.
Rule: TypeAlias = "Callable[[Flow, Any], State | Sequence[State]]"

# Operands that are sizes: the shapes of results tell all of them.
_SIZES = {
    "dynamic_broadcast_in_dim": (1,),
    "dynamic_gather": (2,),
    "dynamic_iota": (0,),
    "dynamic_pad": (2, 3, 4),
    "dynamic_reshape": (1,),
    "get_dimension_size": (0,),
    "real_dynamic_slice": (1, 2, 3),
}
_REGIONS = ("while", "case", "if")


class Flow:
    """The states of values, for one symbol. `rules`: by the operation's name, without its dialect."""

    def __init__(self, batch: Batch, sizes: RecoveredSizes, rules: Mapping[str, Rule]) -> None:
        self.batch = batch
        self._sizes = sizes
        self._rules = rules
        self._states: dict[ir.Value, State] = {}
        self._known: dict[ir.Value, Known] = {}

    def set(self, value: ir.Value, state: State) -> None:
        """Give an argument its state."""
        self._states[value] = state

    def state(self, value: ir.Value) -> State:
        return self._states[value]

    def known(self, value: ir.Value) -> Known | None:
        """The bounds of integers, if there are any."""
        return self._known.get(value)

    def is_alike(self, value: ir.Value) -> bool:
        """Whether equal rows of the arguments give equal rows of this."""
        known, state = self._known.get(value), self._states[value]
        if known is not None and isinstance(state, Rows):
            return known.alike
        return isinstance(state, Same) or (isinstance(state, Rows) and state.alike)

    def rows(self, value: ir.Value) -> Rows:
        """The state of a value that has rows. Raises MixedRows for another."""
        state = self._states[value]
        if not isinstance(state, Rows):
            raise MixedRows("makes rows of a tensor that has none")
        return state

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """Sizes are ints and symbolic sizes."""
        return self._sizes.of(value)

    def numbers(self, value: ir.Value) -> list[int]:
        """The elements of a tensor of sizes."""
        return self._sizes.numbers(value)

    def run(self, block: ir.Block) -> list[State]:
        """Go over a block whose arguments have their states; the states of what it returns."""
        operations = [op.operation for op in block.operations]
        for op in operations[:-1]:
            for result, state in zip(op.results, self._results(op), strict=True):
                self._states[result] = state
            self._bound(op)
        return [self._states[operand] for operand in operations[-1].operands]

    def elementwise(self, values: Iterable[ir.Value]) -> State:
        """The state of what has an element for each place of these, or of those with axes.

        Raises MixedRows.
        """
        values = list(values)
        found = self.batch.joined(map(self.state, values))
        if isinstance(found, Rows):
            for value in values:
                if isinstance(self.state(value), Same) and self.shape(value):
                    raise MixedRows("takes a tensor without rows beside rows")
        return found

    def captured(self, op: Any) -> Iterator[ir.Value]:
        """The values from outside that an operation's regions read."""
        own: set[ir.Value] = set()
        for region in op.regions:
            for block in region.blocks:
                own.update(block.arguments)
                for inner in block.operations:
                    for value in (*inner.operation.operands, *self.captured(inner.operation)):
                        if value not in own:
                            yield value
                    own.update(inner.operation.results)

    def _bound(self, op: Any) -> None:
        """Note the bounds of a result, and the state that follows from them."""
        if len(op.results) != 1:
            return
        result, chosen = op.results[0], stands_for(self, op)
        if chosen is not None and self.shape(chosen) == self.shape(result):
            self._states[result], known = self._states[chosen], self.known(chosen)
        else:
            known = known_of(self, op)
        if known is None:
            return
        exact = known.exact
        if exact is not None and not self.batch.sizes(exact):
            axes = self.batch.axes(self.shape(result))
            if len(axes) < 2:
                self._states[result] = Rows(axes[0], None) if axes else SAME
        self._known[result] = placed(self, known, self._states[result])

    def _results(self, op: Any) -> Sequence[State]:
        name = op.name.partition(".")[2]
        skipped = _SIZES.get(name, ())
        read = [operand for at, operand in enumerate(op.operands) if at not in skipped]
        outside = list(self.captured(op)) if list(op.regions) else []
        found = [self._states[value] for value in (*read, *outside)]
        shapes = [self.shape(result) for result in op.results]
        mixed = next((state for state in found if isinstance(state, Mixed)), None)
        if mixed is not None and name not in _REGIONS:
            # The sizes are computed at the head of the module, for no node.
            return [mixed if mixed.node else Mixed(mixed.reason, node_of(op))] * len(shapes)
        # A fixed function of values that are the same.
        fixed = all(isinstance(state, Same) for state in found) and not any(map(self.batch.axes, shapes))
        if fixed and name != "get_dimension_size":
            return [SAME] * len(shapes)
        try:
            return self._checked(self._by_rule(name, op, outside), shapes)
        except (MixedRows, Specialised) as error:
            return [Mixed(str(error), node_of(op))] * len(shapes)

    def _by_rule(self, name: str, op: Any, outside: Sequence[ir.Value]) -> Sequence[State]:
        rule = self._rules.get(name)
        if rule is None:
            raise MixedRows(f"is a {name}, which is not known to keep rows apart")
        if name not in _REGIONS and not all(isinstance(self.state(value), Same) for value in outside):
            raise MixedRows(f"reads rows inside a {name}")
        states = rule(self, op)
        return [states] if isinstance(states, Same | Rows | Mixed) else states

    def _checked(self, states: Sequence[State], shapes: Sequence[Sequence[int]]) -> Sequence[State]:
        for state, shape in zip(states, shapes, strict=True):
            if not self.batch.fits(state, shape):
                shown = ", ".join(map(str, shape))
                raise MixedRows(f"makes a tensor of sizes [{shown}], whose rows are not those of one axis")
        return states


def node_of(op: Any) -> str:
    """The name of the node that an operation is of; empty where it has none."""
    return getattr(op.location, "name_str", "")
