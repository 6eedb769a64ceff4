"""A summary of a lowered program, as plain data and in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from bridge.buckets import to_json as to_json_buckets
from bridge.cli.results import output_names, returned
from bridge.errors import UsageError
from bridge.memory import CallMemory
from bridge.padding import batch_axes
from bridge.planned import Planned
from bridge.tuning_record import Tuning, to_json
from lowering.ir.plan import Placement
from lowering.ir.program import MUTATIONS, InputKind, Node, Program, Ref, all_nodes
from lowering.ir.text import described, print_type


def summary(lowered: Planned, memory: Sequence[CallMemory] = ()) -> dict[str, Any]:
    """Inputs and outputs, the plan, each ATen node with its reason and source line, weights, binaries.

    `memory`: of a call.
    """
    signature = lowered.functional.signature
    nodes = _nodes(lowered)
    batch = _batch_axes(lowered)
    return {
        "torch": lowered.program.torch_version,
        "inputs": _inputs(lowered.program),
        "outputs": _outputs(lowered.program),
        "symbols": {
            name: {
                "low": bounds.low,
                "high": bounds.high,
                "example": lowered.program.hints.get(name),
                **batch.get(name, {}),
            }
            for name, bounds in lowered.program.ranges.items()
        },
        "buckets": to_json_buckets(lowered.buckets),
        "writes": [
            {"kind": spec.kind.value.removesuffix("_mutation"), "name": spec.destination}
            for spec in signature.outputs
            if spec.kind in MUTATIONS
        ],
        "weights": {
            "names": len(lowered.weights.views),
            "bytes": weight_bytes(lowered),
            "parameters": parameter_count(lowered.program),
        },
        "memory": [row.json() for row in memory],
        "operators": operator_counts(lowered.program),
        "segments": [
            {"index": s.index, "placement": s.placement.value, "nodes": len(s.nodes)}
            for s in lowered.plan.segments
        ],
        "nodes": {p.value: _count(lowered, p) for p in Placement},
        "not_functional": lowered.not_functional,
        "aten": [
            {"node": name, "op": nodes[name].target, "where": str(nodes[name].location), "reason": reason}
            for name, reason in lowered.plan.reasons.items()
            if name in nodes
        ],
        "binaries": [
            {"engine": b.engine, "version": b.version, "device": b.device, "bytes": len(b.code)}
            for b in lowered.binaries.values()
        ],
        "binaries_set_aside": len(lowered.set_aside),
        "tuning": to_json(lowered.tuning) if lowered.tuning is not None else None,
    }


def print_contract(data: Mapping[str, Any]) -> None:
    """The arguments and results of a call, and the file's contents: the first half of `summary`."""
    for side in ("input", "output"):
        for item in data[side + "s"]:
            print(f"{side} {item['name']}: {item['type']}")
    for name, bounds in data["symbols"].items():
        low, high = ("any" if bounds[end] is None else bounds[end] for end in ("low", "high"))
        example = "" if bounds["example"] is None else f", {bounds['example']} in the example"
        print(f"symbol {name}: {low} to {high}{example}{_batch_axis(bounds)}")
    for symbol, entry in data["buckets"].items():
        how = "proved" if entry["fill"] is None else "as was stated"
        print(f"symbol {symbol} is padded to {', '.join(map(str, entry['sizes']))}, {how}")
    for item in data["writes"]:
        print(f"writes {item['kind']} {item['name']}")
    weights = data["weights"]
    print(f"{weights['names']} weights, {weights['parameters']:,} parameters, {readable(weights['bytes'])}")
    for item in data["binaries"]:
        print(
            f"compiled for {item['engine']} on {item['device']}, {readable(item['bytes'])}, "
            f"by {item['version']}"
        )


def _batch_axes(lowered: Planned) -> dict[str, dict[str, Any]]:
    """By symbol, whether calls may be padded: `not_batch_axis` says why not. Empty where jax is missing."""
    try:
        found = batch_axes(lowered)
    except UsageError:
        return {}
    return {axis.symbol: {"axis": axis.name, "not_batch_axis": axis.problem} for axis in found}


def _batch_axis(symbol: Mapping[str, Any]) -> str:
    if "not_batch_axis" not in symbol:
        return ""
    problem = symbol["not_batch_axis"]
    return f"; {symbol['axis']} is {f'not a batch axis: {problem}' if problem else 'a batch axis'}"


def print_memory(rows: Sequence[CallMemory]) -> None:
    """Lines of the memory of a call: of the IR first, then a line per engine."""
    bound = rows[0]
    sizes = ", ".join(f"{name} = {size}" for name, size in bound.sizes.items())
    whole = {"arguments": bound.arguments, "results": bound.results, "weights": bound.weights}
    named = ", ".join(f"{name} of {readable(size)}" for name, size in whole.items())
    print(f"a call{f', at {sizes},' if sizes else ''} takes {named}; and in between at most")
    for row in rows:
        how = "as it was compiled"
        if not row.engine:
            how = "a bound of the IR: its nodes one by one, no engine's own copies"
        elif row.untold:
            how = f"a bound of the IR for what it does not tell: segments {', '.join(map(str, row.untold))}"
        elif not row.is_exact:
            how = "live tensors, no operator's own work space"
        print(f"  {readable(row.temporary)}{f' on {row.engine}' if row.engine else ''}: {how}")


def print_operators(data: Mapping[str, Any]) -> None:
    """A line of the most frequent operators and how often each is called."""
    counts = data["operators"]
    shown = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:8])
    more = f", and {len(counts) - 8} more" if len(counts) > 8 else ""
    print(f"{sum(counts.values())} calls of {len(counts)} operators: {shown}{more}")


def operator_counts(program: Program) -> dict[str, int]:
    """How often each operator is called, nested graphs included; the most frequent first."""
    return dict(Counter(node.target for node in all_nodes(program.nodes)).most_common())


def parameter_count(program: Program) -> int:
    """Elements of all parameters; buffers and constants do not count."""
    specs = (spec for spec in program.weights.values() if spec.kind is InputKind.PARAMETER)
    return sum(prod(size for size in spec.type.sizes if isinstance(size, int)) for spec in specs)


def readable(count: float) -> str:
    """A number of bytes with its unit: `512 B`, `1.5 kB`, `440.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def print_summary(lowered: Planned) -> None:
    """The plan: segments, and a line for each node on ATen."""
    total = len(lowered.plan.segments)
    print(
        f"{total} segment{'s' if total != 1 else ''}, "
        f"{_count(lowered, Placement.STABLEHLO)} nodes on StableHLO, "
        f"{_count(lowered, Placement.ATEN)} on ATen"
    )
    if lowered.not_functional:
        print(f"  the whole program runs on ATen: {lowered.not_functional}")
    else:
        print_gaps(lowered, lowered.plan.reasons)


def print_gaps(lowered: Planned, reasons: Mapping[str, str]) -> None:
    """A line for each node that does not run on StableHLO: which, where in the model, why."""
    nodes = _nodes(lowered)
    for name, reason in reasons.items():
        if name in nodes:
            print(f"  {described(nodes[name])}: {' '.join(reason.split())}")


def print_tuning(tuning: Tuning) -> None:
    """The measurements of the engine `auto`: a line for each candidate, and the choice."""
    print(f"measured on {tuning.host['cores']} cores of {tuning.host['device']}:")
    for trial in tuning.trials:
        taken = " (taken)" if trial.name == tuning.chosen else ""
        if trial.seconds is None:
            print(f"  {trial.name}: {trial.problem or 'not measured: ' + tuning.problem}{taken}")
        else:
            print(f"  {trial.name}: {trial.seconds * 1e3:.3f} ms{taken}")
    if not tuning.complete:
        print("  the time was up before all were tried")


def weight_bytes(lowered: Planned) -> int:
    """How much memory the weights take; tied ones count once."""
    return sum(storage.nbytes for storage in lowered.weights.storages.values())


def _nodes(lowered: Planned) -> dict[str, Node]:
    return {node.name: node for node in lowered.functional.graph.nodes}


def _count(lowered: Planned, placement: Placement) -> int:
    return sum(len(s.nodes) for s in lowered.plan.segments if s.placement is placement)


def _inputs(program: Program) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for spec in program.signature.inputs:
        if spec.kind is InputKind.USER:
            found.append({"name": spec.name, "type": print_type(program.graph.values[spec.name])})
        elif spec.kind is InputKind.LITERAL:
            found.append({"name": spec.name, "type": f"always {spec.literal!r}"})
    return found


def _outputs(program: Program) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "type": print_type(program.graph.values[value.name])
            if isinstance(value, Ref)
            else f"always {value!r}",
        }
        for name, value in zip(output_names(program), returned(program), strict=True)
    ]
