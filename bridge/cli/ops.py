"""`bridge ops`: which operators have a rule, and what a model would leave to ATen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import Json, open_source, print_json
from bridge.errors import UsageError


def command(
    op: Annotated[str | None, typer.Argument(help="One overload, such as aten.relu.default.")] = None,
    missing: Annotated[
        Path | None, typer.Option("--missing", help="List what this model leaves to ATen, and why.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the ATen overloads that have a StableHLO rule, or a model's gaps."""
    from lowering.ir.aten import schema, targets
    from lowering.registry import all_rules, rule_for

    if missing is not None:
        lowered = open_source(missing)
        nodes = {node.name: node for node in lowered.functional.graph.nodes}
        gaps = [
            {"op": nodes[name].target, "node": name, "where": str(nodes[name].location), "reason": reason}
            for name, reason in lowered.plan.reasons.items()
        ]
        if as_json:
            print_json(gaps)
        for gap in gaps if not as_json else ():
            print(f"{gap['op']} ({gap['node']}) {gap['where']}: {gap['reason']}")
        if not gaps and not as_json:
            print(f"{missing}: every node lowers to StableHLO")
        return
    if op is not None:
        if schema(op) is None and rule_for(op) is None:
            raise UsageError(f"{op} is no ATen overload; they are written like aten.add.Tensor")
        found = rule_for(op)
        where = f"{found.emit.__module__}.{found.emit.__qualname__}" if found else None
        if as_json:
            print_json({"op": op, "rule": where})
        else:
            print(
                f"{op}: "
                + (f"rule {where}" if where else "no rule; torch's decomposition is tried, else ATen")
            )
        return
    rules = all_rules()
    if as_json:
        print_json(
            {target: f"{rule.emit.__module__}.{rule.emit.__qualname__}" for target, rule in rules.items()}
        )
        return
    for target, rule in rules.items():
        print(f"{target:60} {rule.emit.__module__.rpartition('.')[2]}")
    print(f"{len(rules)} of {len(targets())} overloads have a rule; the others are decomposed or run on ATen")
