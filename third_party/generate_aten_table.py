"""Write `lowering/ir/aten.json`, the table of ATen's overloads, from the installed torch.

    python third_party/generate_aten_table.py

Run it when the pinned torch moves; a test compares the table with the installed torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "lowering" / "ir" / "aten.json"


def rows() -> dict[str, tuple[str, str]]:
    """Per overload (`aten.add.Tensor`): its schema without the name, and its tags, separated by spaces.

    To torch's own tags this adds `implicit`: the overload has a composite implicit kernel, so that it is made
    of other ops on every backend. The tag `pt2_compliant_tag`, which nearly all have, is left out.
    """
    import torch

    table: dict[str, tuple[str, str]] = {}
    for name in torch._C._dispatch_get_all_op_names():
        if not name.startswith("aten::"):
            continue
        base, _, overload = name.removeprefix("aten::").partition(".")
        overload = overload or "default"
        op: Any = getattr(getattr(torch.ops.aten, base), overload)
        schema = str(op._schema)
        tags = {str(tag).removeprefix("Tag.") for tag in op.tags} - {"pt2_compliant_tag"}
        if torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd"):
            tags.add("implicit")
        table[f"aten.{base}.{overload}"] = (schema[schema.index("(") :], " ".join(sorted(tags)))
    return dict(sorted(table.items()))


def text(table: dict[str, tuple[str, str]], version: str) -> str:
    """The file: JSON, one overload a line."""
    lines = ",\n".join(f"{json.dumps(target)}: {json.dumps(row)}" for target, row in table.items())
    return f'{{"torch": {json.dumps(version)},\n"overloads": {{\n{lines}\n}}}}\n'


def main() -> None:
    import torch

    table = rows()
    TABLE.write_text(text(table, torch.__version__.partition("+")[0]))
    print(f"{len(table)} overloads of torch {torch.__version__} in {TABLE}")


if __name__ == "__main__":
    main()
