"""`bridge ops`: how operators are lowered, and which of a model's would run on ATen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import Imports, Json, Model, open_source, print_json
from bridge.cli.progress import working
from bridge.cli.summary import print_summary, summary
from bridge.errors import UsageError
from bridge.sources import import_all


def command(
    op: Annotated[str | None, typer.Argument(help="One overload, such as aten.relu.default.")] = None,
    missing: Annotated[
        Path | None, typer.Option("--missing", help="List what this model leaves to ATen, and why.")
    ] = None,
    imports: Imports = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """List the ATen overloads that have a StableHLO rule, say how one is lowered, or list a model's gaps."""
    if missing is not None:
        if op is not None:
            raise UsageError(f"give an operator ({op}) or --missing {missing}, not both")
        _missing(missing, imports, model, as_json)
    elif op is not None:
        _one(op, imports, as_json)
    else:
        _all(imports, as_json)


def _missing(path: Path, imports: list[str] | None, model: str | None, as_json: bool) -> None:
    with working(f"lowering {path}"):
        lowered = open_source(path, imports, model)
    if as_json:
        print_json(summary(lowered)["aten"])
    elif lowered.plan.reasons:
        print_summary(lowered)
    else:
        print(f"{path}: every node lowers to StableHLO")
    if lowered.plan.reasons:
        raise typer.Exit(1)


def _one(op: str, imports: list[str] | None, as_json: bool) -> None:
    from bridge.operators import describe, operator
    from bridge.registration import bring
    from lowering.ir.custom_operators import schema_of

    import_all(imports or ())
    bring(op)
    found = operator(op)
    if not found.how and schema_of(op) is None:
        raise UsageError(
            f"{op} is not an operator that is known here; they are written like aten.add.Tensor, and custom "
            "ones need the module that registers them (--import <module>)"
        )
    if as_json:
        print_json(found.json())
    else:
        print("\n".join(describe(op)))


def _all(imports: list[str] | None, as_json: bool) -> None:
    from lowering.ir.aten import targets
    from lowering.stablehlo.registry import all_rules

    import_all(imports or ())
    rules = all_rules()
    if as_json:
        print_json({target: f"{r.emit.__module__}.{r.emit.__qualname__}" for target, r in rules.items()})
        return
    for target, rule in rules.items():
        print(f"{target:60} {rule.emit.__module__.rpartition('.')[2]}")
    print(f"{len(rules)} of {len(targets())} overloads have a rule; the others are decomposed or run on ATen")
