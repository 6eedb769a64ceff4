"""Tables of operators lie among the facts; the few others belong to one rewrite or one check alone."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[4]

# What the table of such a file is.
ELSEWHERE = {
    "lowering/ir/allowed.py": "calls that do not end",
    "lowering/ir/aten.py": "writes and aliases that schemas leave out",
    "lowering/ir/trusting.py": "calls that a file may not make",
    "lowering/ir/views.py": "lists of tensors that calls view one by one, or join",
    "lowering/passes/adapters.py": "casts between a weight and its product",
    "lowering/passes/autocast/casts.py": "overloads that autocast replaces",
    "lowering/passes/correct_dtypes.py": "dtypes that the exporter notes wrongly, with their functions",
    "lowering/python/layers.py": "layers of torch.nn by the operator that each calls",
    "lowering/python/recurrent.py": "layers of torch.nn by the operator that each calls",
    "lowering/python/spelling.py": "how calls are spelled in Python",
    "lowering/python/steps.py": "how calls are spelled in Python",
    "lowering/python/tables.py": "how calls are spelled in Python",
    "lowering/stablehlo/decomposed_graph.py": "what StableHLO cannot express",
    "lowering/targets/aten/activations.py": "the pattern of an activation that is spelled out",
    "lowering/targets/aten/arguments.py": "checks before a call, with their functions",
    "lowering/targets/aten/control_flow.py": "how higher-order operators run, with their functions",
    "lowering/targets/aten/prepacking.py": "the pattern of a layer that oneDNN fuses",
}
PREFIXES = ("aten.", "prims.", "higher_order.")


def _names(node: ast.AST) -> list[str]:
    """Operators that are named in a value, whole or as the beginning of a formatted text."""
    texts = (item.value for item in ast.walk(node) if isinstance(item, ast.Constant))
    return [text for text in texts if isinstance(text, str) and text.startswith(PREFIXES)]


def _tables(path: Path) -> list[str]:
    """The tables of a file: what it assigns, outside functions, that names operators in a container."""
    found: list[str] = []
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if value is not None and not isinstance(value, ast.Constant | ast.JoinedStr) and _names(value):
            found.append(ast.unparse(statement)[:60])
    return found


def test_tables_of_operators_lie_among_the_facts() -> None:
    product = (path for name in ("bridge", "lowering", "runtime") for path in (ROOT / name).rglob("*.py"))
    places = {path.relative_to(ROOT).as_posix(): _tables(path) for path in product}
    places = {place: tables for place, tables in places.items() if tables}
    assert len([place for place in places if place.startswith("lowering/ir/facts/")]) > 4
    outside = {
        place: tables
        for place, tables in places.items()
        if not place.startswith(("lowering/ir/facts/", "lowering/stablehlo/ops/"))
    }
    assert outside.keys() - ELSEWHERE.keys() == set(), outside
    assert ELSEWHERE.keys() - outside.keys() == set()
