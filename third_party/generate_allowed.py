"""Write `lowering/ir/allowed.json`: the operators that a file may have ATen run, and why not the others.

    python third_party/generate_allowed.py

It takes the overloads of `lowering/ir/aten.json` and of torch's registry, and sets aside what the tables
below name; each entry was looked at. What is left is held to `python -m tests.fuzz.operators`, which calls
each with hostile arguments. Run it when the pinned torch moves, then that.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from functools import cache
from pathlib import Path
from typing import Any

from lowering.ir import aten

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "lowering" / "ir" / "allowed.json"

# What registers operators of torch's own. All their namespaces are torch's: a file gets at none by itself.
REGISTER = (
    "torch.ao.quantization.fx._decomposed",
    "torch._inductor.inductor_prims",
    "torch._inductor.compile_fx",
    "torch.distributed._functional_collectives",
    "torch.distributed.tensor",
    "torch.nn.attention.flex_attention",
    "torch.nn.modules.linear_cross_entropy",
)
# Torch's namespaces in builds other than the pinned one, and such as are registered on demand.
NAMESPACES = ("caffe2", "cuda", "metal", "mps", "nvprims", "prepacked", "rprims", "tensorexpr", "vulkan")
NAMESPACES += ("vulkan_prepack", "xnnpack", "xpu", "_caffe2", "c10d_functional", "_inductor_test", "streams")
# Runs in a process that has joined a group of others, and nowhere else:
# `lowering/targets/aten/operators.py` sees to it.
COLLECTIVES = "_c10d_functional"

# Kernels that run on the CPU. An operator without any may be declared all the same.
_KEYS = (
    "CPU",
    "CompositeExplicitAutograd",
    "CompositeExplicitAutogradNonFunctional",
    "CompositeImplicitAutograd",
)

# By the word of `lowering.ir.allowed.REASONS`: patterns of names, without namespace and overload.
REFUSED: dict[str, tuple[str, ...]] = {
    "storage": (
        r"set_?",
        r"set_data",
        r"from_file",
        r"_resize_output_?",
        r"resize_as_sparse_?",
        r"sparse_resize(_and_clear)?_?",
        r"_copy_from(_and_resize)?",
        r"_lazy_clone",
    ),
    "layout": (
        r".*(sparse|_csr|_csc|_bsr|_bsc|coalesce|nested|jagged).*",
        r"(?!fake_|_fake_|fused_moving|_fused_moving|dequantize|choose_qparams).*quantized?(_.*)?",
        r"_?(indices|values|nnz|dimI|dimV)(_copy)?|(crow|ccol|col|row)_indices(_copy)?",
        r"sparse_dim|dense_dim|_to_dense|to_dense_backward|to_padded_tensor|hspmm|sspaddmm|smm",
        r"int_repr|q_.*|qscheme|_make_per_.*|_empty_.*affine.*",
        r".*mkldnn.*|fbgemm.*|_wrapped_.*|_dyn_quant.*",
        r"_efficientzerotensor|_conv_depthwise2d|_nnpack.*",
    ),
    "process": (
        r"_print|_cufft.*|.*_available|record_stream|_?pin_memory|is_pinned",
        r"seed|manual_seed|_has_compatible_shallow_copy_type|_debug_has_internal_overlap",
        r".*(cudnn|miopen|mps|cslt|triton).*",
    ),
    "internal": (
        r"_test_.*|_foobar|_backward|_make_dual(_copy)?|_unpack_dual|_fw_primal(_copy)?|.*_batch_dim",
        r"_new_zeros_with_same_feature_meta|_has_same_storage_numel|is_set_to|_is_zerotensor|retain_grad",
        r"_version|output_nr|is_leaf|_use_.*|_propagate_xla_data|_is_functional.*",
    ),
}
# What hostile calls did; read by the line.
UNCHECKED = Path(__file__).with_name("unchecked_operators.txt")


def table() -> dict[str, Any]:
    """The file's content: `allowed` and `refused`, by word, as sorted lists of targets, and `namespaces`."""
    import importlib

    import torch

    for module in REGISTER:
        importlib.import_module(module)
    found: dict[str, str | None] = {}
    for namespace in ("aten", "prims", "quantized_decomposed", "torchao", "transformers"):
        found |= {target: _refused(target) for target in aten.targets(namespace)}
    names = [schema.name for schema in torch._C._jit_get_all_schemas()]
    own = {name.partition("::")[0] for name in names} | set(NAMESPACES)
    chunked = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("torch_nn::")]
    found |= {f"{n.replace('::', '.')}.default": None for n in chunked}
    return {
        "torch": torch.__version__.partition("+")[0],
        "namespaces": sorted(own - {COLLECTIVES, "torchao", "transformers"}),
        "refused": {word: sorted(t for t, w in found.items() if w == word) for word in _words(found)},
        "allowed": sorted(target for target, word in found.items() if word is None),
    }


def _words(found: dict[str, str | None]) -> list[str]:
    return sorted({word for word in found.values() if word is not None})


def _refused(target: str) -> str | None:
    """The word for why not, or None."""
    namespace, name, _ = target.split(".")
    if namespace in ("aten", "prims"):
        for word, patterns in REFUSED.items():
            if any(re.fullmatch(pattern, name) for pattern in patterns):
                return word
    if namespace == "aten" and not _runs_on_cpu(target):
        return "device"
    if _writes_results_for_torch(target):
        return "internal"
    return "unchecked" if target in _unchecked() else None


def _writes_results_for_torch(target: str) -> bool:
    """Whether an overload with `out` is there for torch alone, which generates it and gives it no name."""
    schema = aten.schema(target)
    assert schema is not None
    return "generated" in schema.tags and any(p.writes and p.keyword for p in schema.parameters)


@cache
def _unchecked() -> frozenset[str]:
    lines = UNCHECKED.read_text().splitlines()
    return frozenset(line.split()[0] for line in lines if line and not line.startswith("#"))


def _runs_on_cpu(target: str) -> bool:
    import torch

    _, name, overload = target.split(".")
    qualified = f"aten::{name}" if overload == "default" else f"aten::{name}.{overload}"
    return any(torch._C._dispatch_has_kernel_for_dispatch_key(qualified, key) for key in _KEYS)


def text(content: dict[str, Any]) -> str:
    """The file: JSON, one operator a line."""
    return json.dumps(content, indent=0) + "\n"


def main() -> None:
    content = table()
    TABLE.write_text(text(content))
    refused = {word: len(targets) for word, targets in content["refused"].items()}
    print(f"{len(content['allowed'])} operators allowed, refused: {refused}, in {TABLE}")


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
