"""`bridge passes`: every pipeline and its passes."""

from __future__ import annotations

from typing import Any

from bridge.cli.options import Json, print_json
from bridge.pipelines import described


def command(as_json: Json = False) -> None:
    """List the pipelines that rewrite a model, and their passes in order."""
    found = described()
    if as_json:
        print_json({"pipelines": found})
        return
    print("\n\n".join("\n".join(_lines(pipeline)) for pipeline in found))


def _lines(pipeline: dict[str, Any]) -> list[str]:
    target = f", for {pipeline['target']}" if pipeline["target"] else ""
    lines = [f"{pipeline['name']}: on a {pipeline['subject']}{target}"]
    for item in pipeline["passes"]:
        options = ", ".join(f"{name}={value!r}" for name, value in sorted(item["options"].items()))
        lines.append(f"  {item['name']}{f' ({options})' if options else ''}: {item['summary']}")
        lines += [f"    {kind} {', '.join(item[kind])}" for kind in ("requires", "ensures") if item[kind]]
    return lines
