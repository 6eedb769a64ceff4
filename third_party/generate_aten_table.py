"""Write `lowering/ir/aten.json`, the table of overloads that are known without torch.

    python third_party/generate_aten_table.py

It has ATen's, those of torch's namespaces `prims` and `quantized_decomposed`, from the installed torch, and
those of other packages that `OF_PACKAGES` lists. Run it when the pinned torch moves; tests compare the table
with what is installed.
"""

from __future__ import annotations

import importlib
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "lowering" / "ir" / "aten.json"

# Modules that register the operators of torch's own that `import torch` does not.
REGISTER = ("torch.ao.quantization.fx._decomposed", "torch._inductor.inductor_prims")
NAMESPACES = ("aten", "prims", "quantized_decomposed")
# Of inductor's prims only `fma` gets into exported programs: Dynamo traces optimizers into it.
_OF_INDUCTOR = ("_", "inductor", "prepare_softmax")

# What torch declares otherwise than it is. It says of the first that it writes; it is a view.
CORRECTED = {
    "prims.as_strided.default": (
        "(Tensor(a) a, SymInt[] size, SymInt[] stride, SymInt storage_offset) -> Tensor(a)",
        "",
    ),
    "prims.item.default": ("(Tensor a) -> Scalar", "data_dependent_output"),
    "prims.resize.default": ("(Tensor(a!) a, SymInt[] shape) -> Tensor(a!)", "inplace_view"),
}

# Operators of other packages that exported programs hold, as torchao 0.18 and transformers 5.23 define them.
OF_PACKAGES = {
    "torchao.choose_qparams_affine.default": (
        "(Tensor? input, str mapping_type, SymInt[] block_size, ScalarType target_dtype, "
        "Scalar? quant_min=None, Scalar? quant_max=None, float? eps=None, ScalarType? scale_dtype=None, "
        "ScalarType? zero_point_dtype=None, bool keepdim=False) -> (Tensor, Tensor)"
    ),
    "torchao.choose_scale_float8.default": (
        "(Tensor tensor, SymInt[] block_size, ScalarType float8_dtype=24, ScalarType scale_dtype=6, "
        "float? hp_value_lb=None, float? hp_value_ub=None) -> Tensor"
    ),
    "torchao.dequantize_affine.default": (
        "(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType input_dtype, "
        "Scalar? quant_min=None, Scalar? quant_max=None, ScalarType output_dtype=6) -> Tensor"
    ),
    "torchao.dequantize_affine_float8_non_decomposed.default": (
        "(Tensor tensor, Tensor scale, ScalarType output_dtype=6) -> Tensor"
    ),
    "torchao.quantize_affine.default": (
        "(Tensor input, SymInt[] block_size, Tensor scale, Tensor? zero_point, ScalarType output_dtype, "
        "Scalar? quant_min=None, Scalar? quant_max=None) -> Tensor"
    ),
    "torchao.quantize_affine_float8_non_decomposed.default": (
        "(Tensor tensor, Tensor scale, ScalarType float8_dtype=24) -> Tensor"
    ),
    "transformers.grouped_mm_fallback.default": "(Tensor input, Tensor weight, Tensor offs) -> Tensor",
}


def rows() -> dict[str, tuple[str, str]]:
    """Per overload (`aten.add.Tensor`): its schema without the name, and its tags, separated by spaces.

    To torch's own tags this adds `implicit`: the overload has a composite implicit kernel, so that it is made
    of other ops on every backend. The tag `pt2_compliant_tag`, which nearly all have, is left out.
    """
    import torch

    for module in REGISTER:
        importlib.import_module(module)
    table = {target: (signature, "") for target, signature in OF_PACKAGES.items()}
    for qualified in torch._C._dispatch_get_all_op_names():
        namespace, _, name = qualified.partition("::")
        base, _, overload = name.partition(".")
        if namespace not in NAMESPACES or (namespace == "prims" and base.startswith(_OF_INDUCTOR)):
            continue
        target = f"{namespace}.{base}.{overload or 'default'}"
        table[target] = CORRECTED.get(target) or _row(operator(target))
    return dict(sorted(table.items()))


def operator(target: str) -> Any:
    """The registered overload of `aten.add.Tensor`."""
    import torch

    namespace, name, overload = target.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), overload)


def _row(op: Any) -> tuple[str, str]:
    import torch

    schema = str(op._schema)
    tags = {str(tag).removeprefix("Tag.") for tag in op.tags} - {"pt2_compliant_tag"}
    if torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd"):
        tags.add("implicit")
    return schema[schema.index("(") :], " ".join(sorted(tags))


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
    ArgumentParser(description=__doc__).parse_args()
    main()
