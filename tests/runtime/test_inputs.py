"""Every refusal of a wrong argument, in its exact words; what is accepted; what is bound."""

import numpy as np
import pytest
import torch

from lowering.ir.program import Guard, Range
from lowering.ir.symbol_parser import parse_guard
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.tree import LEAF
from lowering.ir.types import DType, SymKind, SymType
from runtime.inputs import Binder, InputError
from tests.runtime.fakes import N, program, tensor, tree

STATIC = {"x": tensor(4, 8), "y": tensor(8)}


def binder(inputs, **rest):
    return Binder(program(inputs, [], [], **rest))


def refusal(bound, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        bound.bind(args, kwargs)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


def z(*sizes, dtype=torch.float32):
    return torch.zeros(sizes, dtype=dtype)


STATIC_REFUSALS = [
    ((z(4, 7), z(8)), "dim 1 of `x` is 7, the program takes 8"),
    ((z(4, 8), z(8, dtype=torch.float64)), "`y` is float64, the program takes float32"),
    ((z(8), z(8)), "`x` has 1 dimension (8,), the program takes 2 (4, 8)"),
    ((z(4, 8),), "`y` is missing, the program takes `x`, `y`"),
    ((), "`x`, `y` are missing, the program takes `x`, `y`"),
    ((z(4, 8), z(8), z(8)), "3 arguments were given, the program takes `x`, `y`"),
    ((z(4, 8), None), "`y` is None, the program takes a tensor of float32 (8,)"),
    ((z(4, 8), [1.0] * 8), "`y` is a list, the program takes a tensor of float32 (8,)"),
    ((z(4, 8), np.zeros(8, np.float32)), "`y` is a numpy tensor and `x` a torch one; pass one kind"),
    ((np.zeros((4, 8), np.float32), z(8)), "`y` is a torch tensor and `x` a numpy one; pass one kind"),
    ((np.zeros((4, 8)), np.zeros(8, np.float32)), "`x` is float64, the program takes float32"),
    (
        (np.zeros((4, 8), ">f4"), np.zeros(8, np.float32)),
        "`x`: no tensor has numpy's element type >f4; the program takes float32",
    ),
    ((z(4, 8).to_sparse(), z(8)), "`x` is sparse_coo, the program takes strided"),
    ((z(4, 8).to("meta"), z(8)), "`x` is on meta, the program takes it on cpu"),
]


@pytest.mark.parametrize(("args", "message"), STATIC_REFUSALS, ids=[m for _, m in STATIC_REFUSALS])
def test_static_refusals(args, message):
    assert refusal(binder(STATIC), *args) == message


def test_keyword_refusals():
    bound = binder(STATIC)
    assert refusal(bound, z(4, 8), x=z(4, 8)) == "argument `x` was given twice"
    assert refusal(bound, z(4, 8), z=z(8)) == "the program has no argument `z`, it takes `x`, `y`"


def test_keywords_are_not_taken_by_position():
    spec = tree(tree(LEAF), tree(LEAF, LEAF, names=["c", "b"]))
    bound = binder({"a": tensor(1), "c": tensor(3), "b": tensor(2)}, in_spec=spec, names=("a", "c", "b"))
    words = "3 arguments were given by position, the program takes 1 so (`a`): pass `c`, `b` by name"
    assert refusal(bound, z(1), z(2), z(3)) == words
    assert refusal(bound, z(1), z(2), c=z(3)).startswith("2 arguments were given by position")
    for kwargs in ({"b": z(2), "c": z(3)}, {"c": z(3), "b": z(2)}):
        assert [leaf.shape[0] for leaf in bound.bind((z(1),), kwargs).leaves] == [1, 3, 2]


def test_a_name_that_is_near_is_offered():
    bound = binder({"input_ids": tensor(1), "attention_mask": tensor(1)})
    words = "it takes `input_ids`, `attention_mask`; did you mean `input_ids`?"
    assert refusal(bound, z(1), inputs_ids=z(1)) == f"the program has no argument `inputs_ids`, {words}"


def test_a_name_of_two_arguments_is_the_keywords():
    """`def forward(self, a, /, b, **rest)` called with a keyword `a`."""
    spec = tree(tree(LEAF, LEAF), tree(LEAF, names=["a"]))
    bound = binder({"x": tensor(1), "y": tensor(2), "z": tensor(3)}, in_spec=spec, names=("a", "b", "a"))
    assert [x.shape[0] for x in bound.bind((z(1),), {"b": z(2), "a": z(3)}).leaves] == [1, 2, 3]


def test_a_fake_tensor_is_refused():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.zeros(4, 8)
    assert refusal(binder(STATIC), fake, z(8)) == "`x` is a FakeTensor, the program takes plain tensors"


def test_positional_arguments_may_be_named():
    x, y = z(4, 8), z(8)
    bound = binder(STATIC)
    assert all(a is b for a, b in zip(bound.bind((), {"y": y, "x": x}).leaves, (x, y), strict=True))
    assert all(a is b for a, b in zip(bound.bind((x,), {"y": y}).leaves, (x, y), strict=True))


def test_the_first_tensor_decides_torch_or_numpy():
    bound = binder(STATIC)
    assert bound.bind((z(4, 8), z(8)), {}).torch
    assert not bound.bind((np.zeros((4, 8), np.float32), np.zeros(8, np.float32)), {}).torch


@pytest.mark.parametrize("kind", ["strided", "parameter", "grad", "negated"])
def test_unusual_tensors_pass(kind):
    x = {
        "strided": torch.zeros(8, 4).t(),
        "parameter": torch.nn.Parameter(z(4, 8)),
        "grad": z(4, 8).requires_grad_(),
        "negated": torch.zeros(4, 8, dtype=torch.complex64).conj().imag,
    }[kind]
    with torch.no_grad():
        assert binder(STATIC).bind((x, z(8)), {}).leaves[0] is x


def dual(x):
    return torch.autograd.forward_ad.make_dual(x, x + 1)


# What a tensor means beyond its elements: how it is made, and the beginning of the sentence that refuses it.
LOST = {
    "grad": (lambda: z(4, 8).requires_grad_(), "requires grad, and the program's results have no history"),
    "parameter": (lambda: torch.nn.Parameter(z(4, 8)), "requires grad"),
    "tangent": (lambda: dual(z(4, 8)), "has a tangent, and the program's results have none"),
    "nested": (lambda: torch.nested.nested_tensor([z(2, 8)] * 4), "is a nested tensor"),
    "jagged": (lambda: torch.nested.nested_tensor([z(2, 8)] * 4, layout=torch.jagged), "is jagged"),
    "quantised": (lambda: torch.quantize_per_tensor(z(4, 8), 0.1, 0, torch.quint8), "the element type"),
    "mkldnn": (lambda: z(4, 8).to_mkldnn(), "is _mkldnn"),
    "csr": (lambda: z(4, 8).to_sparse_csr(), "is sparse_csr"),
    "torch masked": (lambda: torch.masked.masked_tensor(z(4, 8), z(4, 8) > 0), "is a MaskedTensor"),
    "masked": (
        lambda: np.ma.masked_array(np.zeros((4, 8), np.float32), mask=True),
        "is a masked array, whose",
    ),
    "matrix": (
        lambda: np.matrix(np.zeros((4, 8), np.float32)),
        "is a matrix, the program takes plain arrays",
    ),
    "records": (
        lambda: np.zeros((4, 8), "f4,i4").view(np.recarray),
        "is a recarray, the program takes plain",
    ),
    "structured": (lambda: np.zeros((4, 8), "f4,i4"), "no tensor has numpy's element type"),
    "objects": (lambda: np.zeros((4, 8), object), "no tensor has numpy's element type object"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sizes", [(4, 8), (N, 8)], ids=["static", "dynamic"])
@pytest.mark.parametrize("kind", LOST)
def test_a_meaning_beyond_the_elements_is_refused(kind, sizes):
    make, words = LOST[kind]
    with torch.autograd.forward_ad.dual_level():
        refused = refusal(binder({"x": tensor(*sizes)}), make())
    assert words in refused
    assert "`x`" in refused


@pytest.mark.parametrize("sizes", [(4, 8), (N, 8)], ids=["static", "dynamic"])
def test_transforms_of_torch_func_are_refused(sizes):
    bound = binder({"x": tensor(*sizes)})

    def call(x):
        assert not isinstance(x, np.ndarray)
        bound.bind((x,), {})
        return x.sum()

    x = z(4, 8)
    transforms = {
        "vmap": lambda: torch.func.vmap(call)(z(3, 4, 8)),
        "grad": lambda: torch.func.grad(call)(x),
        "jvp": lambda: torch.func.jvp(call, (x,), (x,)),
        "functionalize": lambda: torch.func.functionalize(call)(x),
    }
    for transform in transforms.values():
        with pytest.raises(InputError, match=r"`x` is traced by torch\.func"):
            transform()
    bound.bind((x,), {})


def test_a_mapped_file_is_a_plain_array(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 8), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert not binder({"x": tensor(4, 8)}).bind((mapped,), {}).torch


def test_nested_inputs_are_named_by_their_path():
    spec = tree(tree(tree(LEAF, tree(LEAF, LEAF), names=["a", "b"])), tree(LEAF, names=["shift"]))
    inputs = {"a": tensor(2), "b0": tensor(3), "b1": tensor(3), "shift": tensor(1)}
    bound = binder(inputs, in_spec=spec, names=("batch", "shift"))
    good = {"b": (z(3), z(3)), "a": z(2)}
    leaves = bound.bind((good,), {"shift": z(1)}).leaves
    assert [leaf.shape[0] for leaf in leaves] == [2, 3, 3, 1]
    wrong = refusal(bound, {"a": z(2), "b": (z(3), z(4))}, shift=z(1))
    assert wrong == "dim 0 of `batch['b'][1]` is 4, the program takes 3"
    wrong = refusal(bound, {"a": z(2)}, shift=z(1))
    assert wrong.startswith("`batch` has another structure than the program takes: ")
    assert refusal(bound, good) == "`shift` is missing, the program takes `batch`, `shift`"


def test_literals_must_be_what_was_exported():
    bound = binder({"x": tensor(2), "n": 2, "mode": "sum", "mask": None})
    assert bound.bind((z(2), 2, "sum", None), {}).torch
    words = "`n` is 3, the program was exported for 2 and takes no other"
    assert refusal(bound, z(2), 3, "sum", None) == words
    assert refusal(bound, z(2), True, "sum", None).startswith("`n` is True, ")
    zero = binder({"f": 0.0, "n": float("nan")})
    zero.bind((0.0, float("nan")), {})
    assert refusal(zero, -0.0, float("nan")).startswith("`f` is -0.0, ")
    words = "`mode` is 'mean', the program was exported for 'sum' and takes no other"
    assert refusal(bound, z(2), 2, "mean", None) == words
    words = "`mask` is a tensor of float32 (2,), the program was exported for None and takes no other"
    assert refusal(bound, z(2), 2, "sum", z(2)) == words


def test_symbols_are_bound_and_their_ranges_checked():
    bound = binder({"ids": tensor(N, 3, dtype=DType.INT64)}, ranges={"s0": Range(2, 64)})
    assert bound.bind((z(5, 3, dtype=torch.int64),), {}).symbols == {"s0": 5}
    words = "dim 0 of `ids` is 65, the program allows 2 to 64"
    assert refusal(bound, z(65, 3, dtype=torch.int64)) == words
    assert refusal(bound, z(1, 3, dtype=torch.int64)) == "dim 0 of `ids` is 1, the program allows 2 to 64"


def test_open_ranges():
    below = binder({"x": tensor(N)}, ranges={"s0": Range(None, 4)})
    assert refusal(below, z(5)) == "dim 0 of `x` is 5, the program allows at most 4"
    above = binder({"x": tensor(N)}, ranges={"s0": Range(2, None)})
    assert refusal(above, z(1)) == "dim 0 of `x` is 1, the program allows 2 or more"


def test_equal_dims_must_be_equal():
    bound = binder({"x": tensor(N, 3), "y": tensor(3, N)})
    words = "dim 1 of `y` is 5, the program takes 4, the same as dim 0 of `x`"
    assert refusal(bound, z(4, 3), z(3, 5)) == words


def test_derived_dims_are_checked_whatever_the_order():
    twice = Apply("Mul", (2, N))
    bound = binder({"y": tensor(twice), "x": tensor(N)})
    assert bound.bind((z(8), z(4)), {}).symbols == {"s0": 4}
    words = "dim 0 of `y` is 7, the program takes 8 = 2*x.size(0), where x.size(0) is 4"
    assert refusal(bound, z(7), z(4)) == words


def test_a_symbol_that_only_a_derived_dim_shows_is_solved_for():
    size = Apply("Add", (Apply("Mul", (2, N)), 1))
    bound = binder({"y": tensor(size)}, ranges={"s0": Range(2, 8)})
    assert bound.bind((z(7),), {}).symbols == {"s0": 3}
    assert refusal(bound, z(8)) == "dim 0 of `y` is 8, the program allows 5 to 17 in steps of 2"
    words = "dim 0 of `y` is 3, the program allows 5 to 17 in steps of 2"
    assert refusal(bound, z(3)) == words


def test_scalars():
    kinds = {"n": SymType(SymKind.INT, N), "f": SymType(SymKind.FLOAT, Symbol("zf0"))}
    bound = binder(kinds, ranges={"s0": Range(1, 9)})
    assert bound.bind((3, 0.5), {}).symbols == {"s0": 3, "zf0": 0.5}
    assert bound.bind((np.int64(3), np.float64(0.5)), {}).symbols == {"s0": 3, "zf0": 0.5}
    assert refusal(bound, 3.0, 0.5) == "`n` is 3.0, the program takes an int"
    assert refusal(bound, True, 0.5) == "`n` is True, the program takes an int"
    assert refusal(bound, 10, 0.5) == "`n` is 10, the program allows 1 to 9"
    assert refusal(bound, 3, 1) == "`f` is 1, the program takes a float"


def test_a_violated_guard_is_told_in_the_words_of_the_inputs():
    text = "L['y'].size()[0] == 2*L['x'].size()[0]"
    inputs = {"x": tensor(N), "y": tensor(Symbol("s1"))}
    bound = binder(inputs, guards=(Guard(text, parse_guard(text)),))
    assert bound.bind((z(3), z(6)), {}).symbols == {"s0": 3, "s1": 6}
    words = "the program was exported for y.size(0) == 2*x.size(0), but x.size(0) is 3, y.size(0) is 7"
    assert refusal(bound, z(3), z(7)) == words


def test_guards_on_strides_and_nested_inputs():
    text = "L['batch']['a'].stride()[0] == 3"
    bound = binder(
        {"a": tensor(N, 3)},
        in_spec=tree(tree(tree(LEAF, names=["a"])), tree(names=[])),
        names=("batch",),
        guards=(Guard(text, parse_guard(text)),),
    )
    bound.bind(({"a": z(4, 3)},), {})
    words = "the program was exported for batch['a'].stride(0) == 3, but batch['a'].stride(0) is 1"
    assert refusal(bound, {"a": z(3, 4).t()}) == words


def test_guards_on_items_of_variadic_arguments():
    """torch's guards name `*xs` and `**options`, its names of arguments are `xs_0` and the keywords."""
    text = "L['xs'][1].size()[0] == 2*L['options']['scale'].size()[0]"
    spec = tree(tree(LEAF, LEAF), tree(LEAF, names=["scale"]))
    inputs = {"xs_0": tensor(2), "xs_1": tensor(N), "scale": tensor(Symbol("s1"))}
    guards = (Guard(text, parse_guard(text)),)
    bound = binder(inputs, in_spec=spec, names=("xs_0", "xs_1", "scale"), guards=guards)
    assert not bound.unchecked_guards
    bound.bind((z(2), z(6)), {"scale": z(3)})
    assert "xs_1.size(0) is 6" in refusal(bound, z(2), z(6), scale=z(4))


def test_a_guard_on_something_else_is_listed_not_dropped():
    text = "L['self'].size()[0] == 3"
    assert binder({"x": tensor(2)}, guards=(Guard(text, parse_guard(text)),)).unchecked_guards == (text,)


def test_numpy_bfloat16():
    import ml_dtypes

    bound = binder({"x": tensor(2, dtype=DType.BFLOAT16)})
    assert not bound.bind((np.zeros(2, ml_dtypes.bfloat16),), {}).torch
    assert refusal(bound, np.zeros(2, np.float16)) == "`x` is float16, the program takes bfloat16"


def test_a_plain_call_of_static_sizes_takes_the_short_way(monkeypatch):
    bound = binder({"x": tensor(4, 8)})
    long_ways = []
    monkeypatch.setattr(bound, "_bind", lambda args, kwargs: long_ways.append(args))
    for plain in (z(4, 8), np.zeros((4, 8), np.float32)):
        assert bound.bind((plain,), {}).leaves == (plain,)
    assert not long_ways
    for other in (z(4, 8).requires_grad_(), z(4, 9), z(4, 8).double(), np.zeros((4, 8))):
        bound.bind((other,), {})
    assert len(long_ways) == 4
