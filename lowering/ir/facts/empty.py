"""Operators that take tensors without elements as they take any others."""

from __future__ import annotations

from lowering.ir.facts.namespaces import base_name, is_aten, is_python, namespace_of

# Of nothing they give nothing, or the identity of a sum. Of others torch's fake tensors do not tell which
# refuse a tensor of no elements.
_TAKES_NOTHING = frozenset(
    """
    view reshape flatten unflatten transpose permute t mT squeeze unsqueeze expand slice narrow cat stack
    chunk split split_with_sizes clone contiguous detach alias to _to_copy copy fill zero repeat
    repeat_interleave _unsafe_view view_as expand_as tril triu flip pad constant_pad_nd where
    masked_fill sym_size zeros_like ones_like full_like empty_like new_zeros new_ones new_full
    rand_like randn_like
    add sub rsub mul div pow neg abs sign floor ceil round exp log sqrt rsqrt reciprocal sin cos tanh sigmoid
    relu gelu silu leaky_relu elu clamp minimum maximum eq ne lt le gt ge logical_and logical_or logical_not
    bitwise_and bitwise_or bitwise_not erf softmax _softmax log_softmax _log_softmax layer_norm dropout
    linear matmul mm bmm addmm baddbmm sum mean any all cumsum embedding _assert_tensor_metadata
    """.split()
)


def takes_nothing(target: str) -> bool:
    """Whether an operator does with a tensor of no elements what it does with others."""
    if is_python(target):
        return True
    return (is_aten(target) or namespace_of(target) == "prims") and base_name(target) in _TAKES_NOTHING
