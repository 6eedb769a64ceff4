"""Operators that Python calls by a sign or a name, and exports as the very same operators."""

from __future__ import annotations

from lowering.python.expressions import AND, COMPARE, OR, POWER, PRODUCT, SHIFT, SUM, XOR

# Operator, how tightly it binds, how tightly its right operand must.
INFIX = {
    "aten.add.Tensor": ("+", SUM),
    "aten.sub.Tensor": ("-", SUM),
    "aten.mul.Tensor": ("*", PRODUCT),
    "aten.div.Tensor": ("/", PRODUCT),
    "aten.matmul.default": ("@", PRODUCT),
    "aten.__and__.Tensor": ("&", AND),
    "aten.__or__.Tensor": ("|", OR),
    "aten.pow.Tensor_Scalar": ("**", POWER),
    **{
        f"aten.{name}.{overload}": (mark, COMPARE)
        for name, mark in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="))
        for overload in ("Tensor", "Scalar")
    },
}

# Operators on Python's own numbers, in torch's names for them.
PYTHON = {
    "_operator.add": ("+", SUM),
    "_operator.sub": ("-", SUM),
    "_operator.mul": ("*", PRODUCT),
    "_operator.floordiv": ("//", PRODUCT),
    "_operator.truediv": ("/", PRODUCT),
    "_operator.mod": ("%", PRODUCT),
    "_operator.pow": ("**", POWER),
    "_operator.and_": ("&", AND),
    "_operator.or_": ("|", OR),
    "_operator.xor": ("^", XOR),
    "_operator.lshift": ("<<", SHIFT),
    "_operator.rshift": (">>", SHIFT),
    "_operator.eq": ("==", COMPARE),
    "_operator.ne": ("!=", COMPARE),
    "_operator.lt": ("<", COMPARE),
    "_operator.le": ("<=", COMPARE),
    "_operator.gt": (">", COMPARE),
    "_operator.ge": (">=", COMPARE),
}
PYTHON_FUNCTIONS = {
    "torch.sym_float": "torch.sym_float",
    "torch.sym_int": "torch.sym_int",
    "torch.sym_ite": "torch.sym_ite",
    "torch.sym_max": "torch.sym_max",
    "torch.sym_min": "torch.sym_min",
    "torch.sym_not": "torch.sym_not",
    "torch.sym_sqrt": "torch.sym_sqrt",
}

# Methods of a tensor.
METHODS = frozenset(
    f"aten.{name}"
    for name in """
    abs.default add_.Tensor all.default all.dim amax.default amin.default any.default any.dim
    argmax.default argmin.default bitwise_and.Tensor ceil.default chunk.default clamp.default
    clamp_max.default clamp_min.default clone.default copy_.default cos.default
    cumsum.default erf.default exp.default expand.default fill_.Scalar flatten.using_ints flip.default
    float_power.Tensor_Scalar floor.default gather.default index_copy_.default index_select.default
    log.default log1p.default log_softmax.int logical_and.default logical_not.default logical_or.default
    logsumexp.default masked_fill.Scalar masked_fill.Tensor mean.default mean.dim mul_.Tensor
    new_ones.default new_zeros.default permute.default prod.default prod.dim_int reciprocal.default
    repeat.default reshape.default roll.default round.default rsqrt.default scatter.src scatter.value
    scatter_add.default sigmoid.default sign.default sin.default softmax.int sort.default split.Tensor
    sqrt.default square.default squeeze.default squeeze.dim std.correction std.dim sum.default
    sum.dim_IntList t.default tanh.default to.device to.dtype transpose.int tril.default triu.default
    type_as.default unbind.int unflatten.int unsqueeze.default var.correction var.dim view.default
    view_as.default
    """.split()
)

# Functions of torch.
TORCH = frozenset(
    f"aten.{name}"
    for name in """
    addmm.default baddbmm.default bmm.default cat.default cdist.default cross.default diff.default
    full_like.default logaddexp.default max.other maximum.default min.other minimum.default
    ones_like.default outer.default rand_like.default randn_like.default stack.default topk.default
    where.Scalar where.ScalarOther where.ScalarSelf where.self zeros_like.default
    """.split()
)

# Functions of torch that make a tensor on a device.
FACTORIES = frozenset(
    f"aten.{name}"
    for name in """
    arange.default arange.start empty.memory_format eye.default full.default
    ones.default rand.default randint.low randn.default randperm.default zeros.default
    """.split()
)

# Functions of torch.nn.functional with the arguments of the operator.
FUNCTIONS = frozenset(
    f"aten.{name}.default"
    for name in """
    adaptive_avg_pool2d avg_pool2d conv1d conv2d conv3d gelu hardsigmoid hardswish hardtanh leaky_relu
    linear max_pool2d mish pad relu scaled_dot_product_attention selu silu softplus
    """.split()
)

# Arguments that are written by name even where the program has them by position.
NAMED = frozenset(
    """
    align_corners alpha approximate attn_mask beta bias ceil_mode count_include_pad dilation dropout_p
    enable_gqa eps groups is_causal keepdim negative_slope padding scale stride
    """.split()
)
