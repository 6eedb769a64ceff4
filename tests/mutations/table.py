"""The edits: a file, a text that it has once, and another in its place, which makes the file wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Mutation:
    """One edit of one file."""

    file: str
    old: str
    new: str

    @property
    def mirrors(self) -> tuple[str, ...]:
        """The tests that must notice it: the file of its name, or what stands for that."""
        path = PurePosixPath(self.file)
        return _TESTS.get(self.file, (str("tests" / path.with_name(f"test_{path.name}")),))

    def apply(self, text: str) -> str:
        """The file's text with the edit. Raises ValueError where it does not have the old text once."""
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.file} has {count} times: {self.old}")
        return text.replace(self.old, self.new)


# What mirrors a file, where that is not the one test file of its name.
_TESTS = {
    "lowering/passes/functionalise/rewrite.py": ("tests/lowering/passes/functionalise",),
}

# By file, texts and what stands in their places.
_EDITS: dict[str, tuple[tuple[str, str], ...]] = {
    "lowering/passes/partition.py": (
        ("len(set(order.values())))", "-len(set(order.values())))"),
        ("latest[other] = min(latest[other], limit)", "latest[other] = limit"),
        ("        if node.name in reasons and has_effect(node):", "        if False:"),
        (
            "    for name in output_names(graph):\n        if name in made_in:",
            "    for name in ():\n        if name in made_in:",
        ),
        ("        if node.name in binding:\n", "        if False:\n"),
    ),
    "lowering/passes/eliminate_dead_code.py": (
        ("(not results and not only_gives_dtype(node.target))\n            or node.name", "node.name"),
        ("if schema is None or draws(node, schema):", "if schema is None:"),
        ("            or node.name in binding\n", ""),
    ),
    "lowering/passes/inline.py": (
        ("entered(mode, node) if node.target == AUTOCAST else mode)", "mode)"),
        ("        self.taken.add(candidate)\n", ""),
    ),
    "lowering/passes/correct_dtypes.py": (
        ('mixed = given["input"].dtype.is_half and', "mixed ="),
        ("all(item.itemsize < own", "all(item.itemsize <= own"),
    ),
    "lowering/passes/batch_maps.py": (
        ("if len({type_.dtype for type_ in tensors}) > 1 or", "if"),
        (
            "            made[name] = _copy(builder, mapped[mapped.index(held[output.name])])\n",
            "            pass\n",
        ),
    ),
    "lowering/passes/fold_vmaps.py": (
        ("        yield from level.before\n", ""),
        ("        order.insert(to, axis)\n", "        order.append(axis)\n"),
    ),
    "lowering/passes/merge_tied_weights.py": (
        ("first.setdefault(view, spec.name) != spec.name", "first.setdefault(view, spec.name) == spec.name"),
    ),
    "lowering/passes/functionalise/rewrite.py": (
        ("        self.versions[root] += 1\n", ""),
        ("        if len(set(roots)) < len(roots):", "        if False:"),
        ("        self.taint(root, node)\n", ""),
    ),
    "lowering/passes/functionalise/program.py": (
        ("if (kind, destination) not in stated:", "if True:"),
        ("len(owners[view.storage]) > 1:", "len(owners[view.storage]) > 2:"),
    ),
    "lowering/passes/autocast/casts.py": (
        ("DType.FLOAT32 if DType.FLOAT32 in eligible else lower", "lower"),
        ("and type_.dtype is not DType.FLOAT64 and", "and"),
    ),
    "lowering/stablehlo/passes/attention_in_blocks.py": (
        ("return op.lhs in behind and op.rhs not in behind and alike", "return op.lhs in behind and alike"),
    ),
    "lowering/stablehlo/passes/bfloat16_through_float32.py": (
        (" and not _is_row(op, weights):", ":"),
        ("_BITS = 16\n", "_BITS = 15\n"),
    ),
    "lowering/stablehlo/passes/keep_subnormals.py": (
        ('"LT": "GT", "GT": "LT"', '"LT": "LT", "GT": "GT"'),
        ("return keys | cx.is_nan(left) | cx.is_nan(right)", "return keys"),
    ),
    "lowering/stablehlo/passes/convolutions_channels_last.py": (
        ("            del op.operation.attributes[_MARK]\n", "            pass\n"),
    ),
    "lowering/stablehlo/passes/exact_libm_functions.py": (
        (
            '"stablehlo.power": {DType.FLOAT32: _power, DType.FLOAT64: _power},',
            '"stablehlo.power": {DType.FLOAT32: _power},',
        ),
        (
            "        for region in op.regions:\n"
            "            for inner in region.blocks:\n"
            "                _rewrite(inner)\n",
            "",
        ),
    ),
    "lowering/stablehlo/passes/fold_channel_scales.py": (
        ("if not rests_on(other, weights) or", "if"),
        (
            "broadcast_in_dim(shift * scale, result.shape, (1,))",
            "broadcast_in_dim(shift, result.shape, (1,))",
        ),
    ),
    "lowering/stablehlo/passes/keep_divisions.py": (
        ("                if not _is_power_of_two(divisor):\n", "                if True:\n"),
    ),
    "lowering/stablehlo/passes/matmul_weights_in_out.py": (("and not weight.dtype.is_half", ""),),
    "lowering/stablehlo/passes/pad_batched_matmuls.py": (("-size % _VECTOR for", "size % _VECTOR for"),),
    "lowering/stablehlo/passes/pad_single_row_matmuls.py": (
        ("cx.slice_axis(product, 0, 0, 1)", "cx.slice_axis(product, 0, 1, 2)"),
    ),
    "lowering/stablehlo/passes/round_float16_products.py": (
        ("_MANTISSA_BITS = 5, 10", "_MANTISSA_BITS = 5, 9"),
    ),
    "lowering/stablehlo/passes/weight_hoisting.py": (
        ("        if not results or _captures(op):\n", "        if not results:\n"),
    ),
    "lowering/targets/aten/constant_folding.py": (
        ("_MOST_BYTES = 1 << 24", "_MOST_BYTES = 1 << 30"),
        (" or any(name in kept for name in names):", ":"),
    ),
    "lowering/targets/aten/reinplacing.py": (
        ("(one.dtype, one.sizes, one.layout) == (other.dtype, other.sizes, other.layout)", "True"),
        ("if sum(name in shared for name in nodes[place].refs()) > 1:", "if False:"),
    ),
    "lowering/targets/aten/buffer_reuse.py": (
        ("reads[name] == 1 and name not in program.outputs", "reads[name] == 1"),
        ('or given.get("alpha", 1) != 1:', ":"),
    ),
    "lowering/targets/aten/activations.py": (
        ("if len(inputs) != 1 or not ends <= names or", "if len(inputs) != 1 or"),
    ),
    "lowering/targets/aten/prepacking.py": (
        ('factor = (variance.double() + given["eps"]).rsqrt()', "factor = variance.double().rsqrt()"),
    ),
    "runtime/executor.py": (
        (
            "            for take_back in reversed(frame.rollback):\n",
            "            for take_back in frame.rollback[:0]:\n",
        ),
    ),
    "runtime/loaded.py": (("        needed.update(names)\n", ""),),
    "runtime/step.py": (("        if seen < self.threshold:\n", "        if seen <= self.threshold:\n"),),
    "runtime/specialisations.py": (
        (
            "            while key not in self._prepared and self._is_full(",
            "            while self._is_full(",
        ),
    ),
    "runtime/frame.py": (("    elif value.data_ptr() % ALIGNMENT:\n", "    elif False:\n"),),
    "runtime/host_call.py": (("            handles.pop(name, None)\n", ""),),
    "runtime/engine_call.py": (
        (
            "        for place, _ in self.donated:\n"
            "            given[place] = self.engine.own(given[place], self.target)\n",
            "",
        ),
    ),
    "runtime/checks.py": (
        ("raise error_of(self._checks[failed.index(1)])", "raise error_of(self._checks[0])"),
    ),
    "bridge/verification/compare.py": (
        ('    gap = torch.where(torch.isnan(gap), float("inf"), gap)\n', ""),
        ("if expected.is_contiguous() and not actual.is_contiguous():", "if False:"),
    ),
    "bridge/verification/repeat.py": (("rounding if any_order else None", "rounding"),),
    "bridge/verification/tolerances.py": (("_BITS[item] > _BITS[dtype]", "_BITS[item] < _BITS[dtype]"),),
}

MUTATIONS = tuple(Mutation(file, old, new) for file, edits in _EDITS.items() for old, new in edits)
