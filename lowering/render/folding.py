"""The box of each node in a picture: of a module that is folded, of a run of nodes, or its own.

Every node is in exactly one box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lowering.ir.plan import Plan
from lowering.ir.program import Node, Program, Ref


@dataclass(frozen=True, slots=True)
class Key:
    """A box of nodes. `segment`: where they run, if all do in one; `path`: of the module that they share.

    `own`: distinguishes boxes of one module: the name of a single node, or the number of a run.
    """

    segment: int | None
    path: tuple[str, ...]
    own: str | int | None = None


# The box of every node, by the node's name, in execution order.
Keys = dict[str, Key]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to fold a program. `weights`, `ends`: whether weights, and inputs and outputs, have own boxes."""

    keys: Keys
    weights: bool = True
    ends: bool = True


def path_of(node: Node) -> tuple[str, ...]:
    """The parts of the path of the module that a node comes from."""
    return tuple(node.location.module_path.split(".")) if node.location.module_path else ()


def segments_of(plan: Plan | None) -> dict[str, int]:
    """By node, the segment that it runs in."""
    segments = plan.segments if plan is not None else ()
    return {name: segment.index for segment in segments for name in segment.nodes}


def ways(program: Program, plan: Plan | None, depth: int | None, most: int) -> Iterator[Way]:
    """Ways to fold a program, from the most boxes to few. The last has `most` boxes or fewer.

    `depth`: modules are open to this depth at most; None: all are. `most` is 3 at least.
    """
    segments = segments_of(plan)
    paths = [path_of(node) for node in program.nodes]
    apart = _ends(program) <= most // 2
    budget = most - _ends(program) if apart else most - 2
    deepest = max(map(len, paths), default=0) + 1
    level = deepest if depth is None else min(depth, deepest)
    keys = _at_level(program, paths, segments, level)
    while level > 0:
        if len(set(keys.values())) <= most:
            yield Way(keys)
            yield Way(keys, weights=False)
        outer = _at_level(program, paths, segments, level - 1)
        # Where a level has too many boxes, and the next one far fewer, something in between shows more.
        if level == 1 or len(set(outer.values())) < budget // 4:
            merged = _merged(keys, budget)
            if merged is not None:
                yield Way(merged, weights=False, ends=apart)
        keys, level = outer, level - 1
    if depth == 0:
        yield Way(keys, weights=False)
    yield Way(_chunks(program, segments, budget), weights=False, ends=apart)


def _ends(program: Program) -> int:
    """How many boxes inputs and outputs take."""
    inputs = sum(isinstance(item, Ref) for item in program.graph.inputs) - len(program.weights)
    return inputs + sum(isinstance(spec.value, Ref) for spec in program.signature.outputs)


def _at_level(
    program: Program, paths: Sequence[tuple[str, ...]], segments: Mapping[str, int], level: int
) -> Keys:
    """A box per module of this depth, and one per node above."""
    return {
        node.name: Key(segments.get(node.name), path[:level], None if len(path) >= level else node.name)
        for node, path in zip(program.nodes, paths, strict=True)
    }


def _merged(keys: Keys, most: int) -> Keys | None:
    """Boxes of one module beside each other made into one, as few as `most` asks for; None: it is too few."""
    boxes = list(dict.fromkeys(keys.values()))
    size = 2
    while True:
        runs = _runs(boxes, size)
        if len(set(runs.values())) <= most:
            return {name: runs[key] for name, key in keys.items()}
        if size >= len(boxes):
            return None
        size += -(-size // 4)


def _runs(boxes: Sequence[Key], size: int) -> dict[Key, Key]:
    """For each box, the run of `size` boxes at most that it is in: modules of one module, or nodes of one."""
    found: dict[Key, Key] = {}
    run: list[Key] = []
    last: tuple[int | None, tuple[str, ...], bool] | None = None
    for index, key in enumerate(boxes):
        module = key.own is None
        here = key.segment, key.path[:-1] if module else key.path, module
        if here != last or len(run) == size:
            run, last = [], here
        run.append(key)
        if len(run) == 1:
            found[key] = key
        else:
            joint = Key(here[0], here[1], index - len(run) + 1)
            found.update(dict.fromkeys(run, joint))
    return found


def _chunks(program: Program, segments: Mapping[str, int], most: int) -> Keys:
    """`most` boxes or fewer, each of about as many nodes, of one segment where that is possible."""
    lengths: dict[int | None, int] = {}
    for node in program.nodes:
        lengths[segments.get(node.name)] = lengths.get(segments.get(node.name), 0) + 1
    if len(lengths) > most:
        size = -(-len(program.nodes) // most)
        return {node.name: Key(None, (), index // size) for index, node in enumerate(program.nodes)}
    size = 1
    while sum(-(-length // size) for length in lengths.values()) > most:
        size += -(-size // 8)
    keys: Keys = {}
    seen: dict[int | None, int] = {}
    for node in program.nodes:
        segment = segments.get(node.name)
        keys[node.name] = Key(segment, (), seen.get(segment, 0) // size)
        seen[segment] = seen.get(segment, 0) + 1
    return keys
