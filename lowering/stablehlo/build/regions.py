"""StableHLO's own control flow. A check inside a region is a result of it, and so of what it is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce

from lowering.ir.module import Check
from lowering.ir.types import DType
from lowering.stablehlo.build.shape import Shapes
from lowering.stablehlo.hlo import current_location, ir, stablehlo
from lowering.stablehlo.value import Shape, Value, constant, tensor_type

# The results of a region, and the checks made in it: a 0-d bool each, True where it does not hold.
Checked = tuple[list[Value], dict[Check, Value]]
_FLAG = (DType.BOOL, ())


class Regions(Shapes):
    """Control-flow vocabulary."""

    def while_loop(
        self,
        state: Sequence[Value],
        condition: Callable[..., Value],
        body: Callable[..., Sequence[Value]],
    ) -> tuple[Value, ...]:
        """`while condition(*state): state = body(*state)`; the state's types do not change.

        It ends with the first iteration in which a check fails: later values mean nothing, and it might never
        end.
        """
        types = [value.ir.type for value in state]
        shapes = [value.shape for value in state]
        draft = stablehlo.WhileOp(types, [value.ir for value in state])
        test, work = (region.blocks.append(*types) for region in draft.regions)
        with ir.InsertionPoint(test):
            (go,), untold = self.collect(lambda: condition(*map(Value, test.arguments, shapes)))

        def step(*values: Value) -> Sequence[Value]:
            # The condition's region returns nothing but its truth: its checks are made here, and once after.
            if untold:
                condition(*values)
            results = body(*values)
            return (results,) if isinstance(results, Value) else results

        with ir.InsertionPoint(work):
            results, found = self.collect(lambda: step(*map(Value, work.arguments, shapes)))
        op = draft
        if found:
            flag = tensor_type(*_FLAG)
            start = [*(value.ir for value in state), *(constant(False, *_FLAG).ir for _ in found)]
            op = stablehlo.WhileOp([*types, *(flag for _ in found)], start)
            for block in (test, work):
                for _ in found:
                    block.add_argument(flag, current_location())
            test, work = _moved(draft, op)
        with ir.InsertionPoint(test):
            failed = map(Value, list(test.arguments)[len(types) :])
            stablehlo.return_([reduce(lambda go, flag: go & ~flag, failed, go).ir])
        with ir.InsertionPoint(work):
            before = map(Value, list(work.arguments)[len(types) :])
            flags = [old | new for old, new in zip(before, found.values(), strict=True)]
            stablehlo.return_([value.ir for value in (*results, *flags)])
        last = self._without_flags(op.results, shapes, found)
        if untold:
            condition(*last)
        return last

    def case(
        self,
        index: Value,
        branches: Sequence[Callable[[], Sequence[Value]]],
        types: Sequence[tuple[DType, Shape]],
    ) -> tuple[Value, ...]:
        """Run branch number `index` (int32, 0-d); branches read outer values and return these types."""
        draft = stablehlo.CaseOp([tensor_type(*type_) for type_ in types], index.ir, len(branches))
        blocks = [region.blocks.append() for region in draft.regions]
        built: list[Checked] = []
        for block, branch in zip(blocks, branches, strict=True):
            with ir.InsertionPoint(block):
                built.append(self.collect(branch))
        checks = dict.fromkeys(check for _, found in built for check in found)
        op = draft
        if checks:
            wanted = [tensor_type(*type_) for type_ in (*types, *(_FLAG for _ in checks))]
            op = stablehlo.CaseOp(wanted, index.ir, len(branches))
            blocks = _moved(draft, op)
        for block, (results, found) in zip(blocks, built, strict=True):
            with ir.InsertionPoint(block):
                flags = [found[check] if check in found else constant(False, *_FLAG) for check in checks]
                stablehlo.return_([value.ir for value in (*results, *flags)])
        return self._without_flags(op.results, [shape for _, shape in types], checks)

    def _without_flags(
        self, results: Sequence[ir.Value], shapes: Sequence[Shape], checks: Iterable[Check]
    ) -> tuple[Value, ...]:
        """The results of these shapes; the others say which checks failed."""
        flags = map(Value, results[len(shapes) :])
        self.add_checks(dict(zip(checks, flags, strict=True)))
        return tuple(map(Value, results, shapes))

    def collect(self, build: Callable[[], Value | Sequence[Value]]) -> Checked:
        """The result of `build`, and its checks, which the module does not have yet."""
        raise NotImplementedError

    def add_checks(self, checks: dict[Check, Value]) -> None:
        """Have the module return these checks."""
        raise NotImplementedError


def _moved(draft: ir.OpView, op: ir.OpView) -> list[ir.Block]:
    """The blocks of one operation's regions, each the only one there, put into another's; the first goes."""
    for old, new in zip(draft.regions, op.regions, strict=True):
        old.blocks[0].append_to(new)
    draft.operation.erase()
    return [region.blocks[0] for region in op.regions]
