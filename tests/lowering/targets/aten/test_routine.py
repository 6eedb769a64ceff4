"""Nodes on ATen: arguments, outputs, functional nodes, control flow, symbols, errors; whole files."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from lowering.frontend.pt2.reader import read as read_pt2
from lowering.host.weights import torch_weights
from lowering.ir.location import Location
from lowering.ir.program import Argument, Graph, Node, Operator, Ref
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.types import CPU, DType, Layout, MemoryFormat, SymKind, SymType
from lowering.targets.aten.reference import interpret
from lowering.targets.aten.routine import Routine, run_graph
from lowering.targets.errors import ExecutionError, UnknownOperator
from runtime.inputs import Binder
from tests.runtime.fakes import node, program, tensor, value

T3 = tensor(3)
X = torch.tensor([3.0, 1.0, 2.0])


def graph(inputs, nodes, outputs, **values):
    return Graph(
        tuple(value("%" + name) for name in inputs), tuple(map(value, outputs)), tuple(nodes), values
    )


def run(nodes, *outputs, symbols=None, types=None, **given):
    """Run nodes on values by name; the outputs' values."""
    return run_graph(graph(given, nodes, outputs, **(types or {})), given, {} if symbols is None else symbols)


def test_arguments_of_every_kind():
    like = {"dtype": DType.FLOAT64, "device": CPU, "layout": Layout.STRIDED}
    nodes = [
        node("aten.full.default", "a", size=(2, 3), fill_value=1.5, **like),
        node("aten.clone.default", "b", self="%x", memory_format=MemoryFormat.CHANNELS_LAST),
        node("aten.cat.default", "c", tensors=("%a", "%a"), dim=1),
        node("aten.index.Tensor", "d", self="%c", indices=(None, "%i")),
    ]
    a, b, c, d = run(nodes, "%a", "%b", "%c", "%d", x=torch.zeros(1, 2, 3, 4), i=torch.tensor([0]))
    assert a.dtype is torch.float64
    assert b.is_contiguous(memory_format=torch.channels_last)
    assert c.shape == (2, 6)
    assert d.shape == (2, 1)


def test_an_argument_after_an_omitted_default_goes_by_name():
    (y,) = run([node("aten.add.Tensor", "y", self="%x", other="%x", alpha=2)], "%y", x=X)
    torch.testing.assert_close(y, 3 * X)
    (y,) = run([node("aten.sum.dim_IntList", "y", self="%x", dim=(0,), dtype=DType.FLOAT64)], "%y", x=X)
    assert y.dtype is torch.float64


def test_several_outputs_lists_and_unused_ones():
    nodes = [
        node("aten.max.dim", ("top", None), self="%x", dim=0),
        node("aten.chunk.default", (("p", None, "q"),), self="%x", chunks=3),
        node("_operator.getitem", "one", "%pair", 1),
    ]
    top, p, q, one = run(nodes, "%top", "%p", "%q", "%one", x=X, pair=[1, 2])
    assert (top.item(), p.item(), q.item(), one) == (3, 3, 2, 2)


def test_a_list_of_another_length_is_an_error():
    nodes = [node("aten.chunk.default", (("p", "q"),), self="%x", chunks=3)]
    with pytest.raises(ExecutionError, match="returned a list of 3 values, the program names 2"):
        run(nodes, "%p", x=X)


def test_scalars_and_symbols():
    s0 = Symbol("s0")
    types = {"n": SymType(SymKind.INT, s0), "free": SymType(SymKind.INT, Apply("Mul", (2, s0)))}
    nodes = [
        node("aten.sym_size.int", "n", self="%x", dim=0),
        node("_operator.floordiv", "h", "%n", 2),
        node("torch.sym_max", "m", "%h", 1.0),
        node("math.trunc", "t", "%m"),
        node("aten.full.default", "y", size=("%h", "%free"), fill_value=0),
    ]
    h, m, t, y = run(nodes, "%h", "%m", "%t", "%y", x=X, types=types, symbols={"s0": 3})
    assert (h, m, t, y.shape) == (1, 1.0, 1, (1, 6))
    assert type(m) is float


def test_unbacked_symbols_are_bound_when_a_value_shows_them():
    u0, u1 = Symbol("u0"), Symbol("u1")
    types = {
        "found": tensor(Apply("Add", (u0, 1)), 1),
        "item": SymType(SymKind.INT, u1),
        "later": SymType(SymKind.INT, Apply("Add", (u0, u1))),
    }
    nodes = [
        node("aten.nonzero.default", "found", self="%x"),
        node("aten.item.default", "item", self="%i"),
        node("aten.full.default", "y", size=("%later",), fill_value=1),
    ]
    symbols = {}
    (y,) = run(nodes, "%y", x=X, i=torch.tensor(5), types=types, symbols=symbols)
    assert symbols == {"u0": 2, "u1": 5}
    assert y.shape == (7,)


def test_a_functional_node_writes_to_copies():
    nodes = [node("aten.add_.Tensor", "y", functional=True, self="%x", other="%x")]
    x = X.clone()
    (y,) = run(nodes, "%y", x=x)
    torch.testing.assert_close(x, X)
    torch.testing.assert_close(y, 2 * X)


def test_a_functional_node_gives_what_the_operator_does_not_return():
    image = torch.randn(4, 2, 3, 3)
    mean, var = torch.zeros(2), torch.ones(2)
    batch_norm = node(
        "aten.batch_norm.default",
        ("y", "new_mean", "new_var"),
        functional=True,
        input="%x",
        weight=None,
        bias=None,
        running_mean="%mean",
        running_var="%var",
        training=True,
        momentum=0.1,
        eps=1e-5,
        cudnn_enabled=False,
    )
    _, new_mean, new_var = run([batch_norm], "%y", "%new_mean", "%new_var", x=image, mean=mean, var=var)
    assert mean.eq(0).all()
    assert var.eq(1).all()
    torch.nn.functional.batch_norm(image, mean, var, training=True)
    torch.testing.assert_close(new_mean, mean)
    torch.testing.assert_close(new_var, var)


def test_a_functional_node_without_results_of_its_own():
    nodes = [node("aten._foreach_add_.Scalar", (("a", "b"),), functional=True, self=("%x", "%y"), scalar=1)]
    x, y = X.clone(), X.clone()
    a, b = run(nodes, "%a", "%b", x=x, y=y)
    torch.testing.assert_close(x, X)
    torch.testing.assert_close(a + b, 2 * X + 2)


# -------------------------------------------------------------------------------------------- control flow


def branch(target, **given):
    return graph(["v"], [node(target, "r", self="%v", **given)], ["%r"])


@pytest.mark.parametrize("flag", [True, False])
def test_cond_runs_only_the_branch_that_is_taken(flag):
    broken = branch("aten.select.int", dim=5, index=0)
    yes, no = (branch("aten.sin.default"), broken) if flag else (broken, branch("aten.cos.default"))
    for predicate in (flag, torch.tensor(flag)):
        nodes = [node("higher_order.cond", ("y",), "%p", yes, no, ("%x",))]
        (y,) = run(nodes, "%y", p=predicate, x=X)
        torch.testing.assert_close(y, X.sin() if flag else X.cos())


def test_while_loop():
    test = graph(["i", "v"], [node("aten.lt.Scalar", "c", self="%i", other=3)], ["%c"])
    body = graph(
        ["i", "v"],
        [node("aten.add.Scalar", "j", self="%i", other=1), node("aten.mul.Scalar", "w", self="%v", other=2)],
        ["%j", "%w"],
    )
    nodes = [node("higher_order.while_loop", ("n", "y"), test, body, ("%i", "%x"), ())]
    n, y = run(nodes, "%n", "%y", i=torch.tensor(0), x=X)
    assert n.item() == 3
    torch.testing.assert_close(y, 8 * X)
    n, y = run(nodes, "%n", "%y", i=torch.tensor(9), x=X)
    assert y.data_ptr() != X.data_ptr()


def test_an_item_in_a_loop_is_another_each_time():
    test = graph(["i", "v"], [node("aten.lt.Scalar", "c", self="%i", other=3)], ["%c"])
    nodes = [
        node("aten.item.default", "n", self="%i"),
        node("aten.add.Scalar", "j", self="%i", other=1),
        node("aten.add.Scalar", "w", self="%v", other="%n"),
    ]
    body = graph(["i", "v"], nodes, ["%j", "%w"], n=SymType(SymKind.INT, Symbol("u0")))
    loop = [node("higher_order.while_loop", ("n", "y"), test, body, ("%i", "%x"), ())]
    symbols = {}
    n, y = run(loop, "%n", "%y", i=torch.tensor(0), x=X, symbols=symbols)
    assert n.item() == 3
    torch.testing.assert_close(y, X + 3)
    assert symbols == {}


def test_map_and_scan():
    square = graph(["v", "k"], [node("aten.mul.Tensor", "r", self="%v", other="%k")], ["%r"])
    (y,) = run(
        [node("higher_order.map_impl", ("y",), square, ("%x",), ("%k",))], "%y", x=X, k=torch.tensor(2.0)
    )
    torch.testing.assert_close(y, 2 * X)
    add = graph(["c", "v"], [node("aten.add.Tensor", "r", self="%c", other="%v")], ["%r", "%r"])
    nodes = [node("higher_order.scan", ("last", "all"), add, ("%c",), ("%x",), ())]
    last, every = run(nodes, "%last", "%all", c=torch.tensor(0.0), x=X)
    torch.testing.assert_close(every, X.cumsum(0))
    assert last.item() == 6
    plain = graph(["c", "v"], [node("aten.add.Tensor", "r", self="%c", other="%v")], ["%r"])
    (y,) = run([node("higher_order.associative_scan", ("y",), plain, ("%x",), ())], "%y", x=X)
    torch.testing.assert_close(y, X.cumsum(0))


def test_wrappers():
    body = branch("aten.mm.default", mat2="%v")
    half = [node("higher_order.wrap_with_autocast", ("y",), "cpu", DType.BFLOAT16, True, None, body, "%x")]
    (y,) = run(half, "%y", x=torch.eye(2))
    assert y.dtype is torch.bfloat16
    plain = [node("higher_order.wrap_with_set_grad_enabled", ("y",), True, body, "%x")]
    (y,) = run(plain, "%y", x=torch.eye(2))
    assert y.dtype is torch.float32


def test_auto_functionalized_and_effects():
    add = Operator("aten.add_.Tensor")
    both = Node(
        "y",
        "higher_order.auto_functionalized",
        (Argument("", add), Argument("self", Ref("x"), True), Argument("other", Ref("x"), True)),
        ("y", "z"),
    )
    x = X.clone()
    y, z = run([both], "%y", "%z", x=x)
    torch.testing.assert_close(x, X)
    torch.testing.assert_close(y, z)
    nodes = [node("higher_order.with_effects", ("t", "y"), None, Operator("aten.sin.default"), "%x")]
    _, y = run(nodes, "%t", "%y", x=X)
    torch.testing.assert_close(y, X.sin())


# ----------------------------------------------------------------------------------------- targets, errors


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("aten.nothing.default", "a file may not call aten.nothing.default: it is not among the operators"),
        ("mine.op.default", "custom operator mine.op.default is not registered: import the module"),
        ("os.system", "'os.system' is not an operator that this version can run on ATen"),
        ("builtins.eval", "a file may not call builtins.eval: it is not a function of numbers"),
        ("torch.load", "a file may not call torch.load: it is not a function of numbers"),
        ("_operator.attrgetter", "a file may not call _operator.attrgetter: it is not a function of numbers"),
        ("math.__loader__.x", "a file may not call math.__loader__.x: it is not a function of numbers"),
        ("load_library.__call__.x", "is not an operator"),
        ("import_module.a.b", "custom operator import_module.a.b is not registered"),
        (
            "aten.from_file.default",
            "a file may not call aten.from_file.default: it gives a tensor other memory",
        ),
        ("aten.save.default", "a file may not call aten.save.default"),
        ("aten.mkldnn_rnn_layer.default", "a file may not call aten.mkldnn_rnn_layer.default"),
        ("mkldnn._linear_pointwise.default", "a file may not call mkldnn._linear_pointwise.default"),
        ("inductor.resize_storage_bytes_.default", "a file may not call inductor.resize_storage_bytes_"),
        (
            "higher_order.flex_attention",
            "the higher-order operator higher_order.flex_attention cannot be run",
        ),
    ],
)
def test_targets_that_are_not_run(target, message):
    with pytest.raises(UnknownOperator) as caught:
        run([node(target, "y", "%x")], "%y", x=X)
    assert message in str(caught.value)


def test_operators_that_are_arguments_are_admitted_as_others_are():
    called = [node("higher_order.with_effects", ("t", "y"), None, Operator("aten._print.default"), "%x")]
    with pytest.raises(UnknownOperator, match=r"a file may not call aten\._print"):
        run(called, "%y", x=X)
    checked = [node("higher_order.with_effects", ("t", "y"), None, Operator("aten.lcm.default"), "%x", "%x")]
    with pytest.raises(UnknownOperator, match=r"aten\.lcm\.default is checked before each call"):
        run(checked, "%y", x=X)


def test_arguments_are_checked_before_an_operator_that_trusts_them():
    outside = torch.full((1, 1, 2, 2), 1 << 40)
    given = {"u": torch.ones(1, 1, 2, 2), "z": torch.ones(1, 1, 4, 4), "k": outside}
    pooled = node("aten.adaptive_max_pool2d_backward.default", "y", "%u", "%z", "%k")
    with pytest.raises(
        ExecutionError, match=r"node y, aten\.adaptive_max_pool2d.*indices has places outside self"
    ):
        run([pooled], "%y", **given)
    (y,) = run([pooled], "%y", **{**given, "k": torch.arange(4).reshape(1, 1, 2, 2)})
    torch.testing.assert_close(y.sum(), torch.tensor(4.0))


def test_registered_custom_operators_run():
    with torch.library._scoped_library("runtime_test", "DEF") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: 2 * x, "CPU")
        (y,) = run([node("runtime_test.twice.default", "y", x="%x")], "%y", x=X)
    torch.testing.assert_close(y, 2 * X)


def test_an_error_names_the_node_and_the_source_line():
    trace = 'File "model.py", line 12, in forward\n    return a @ b'
    mm = Node(
        "mm",
        "aten.mm.default",
        (Argument("self", Ref("x")), Argument("mat2", Ref("x"))),
        ("mm",),
        Location(trace),
    )
    with pytest.raises(ExecutionError) as caught:
        run([mm], "%mm", x=X)
    assert str(caught.value).startswith("node mm, aten.mm.default (model.py:12): RuntimeError: ")
    assert not isinstance(caught.value, IndexError)


def test_an_index_error_stays_one():
    with pytest.raises(IndexError, match=r"node y, aten.select.int: IndexError"):
        run([node("aten.select.int", "y", self="%x", dim=0, index=7)], "%y", x=X)


def test_values_are_freed_after_their_last_use():
    nodes = [
        node("aten.sin.default", "a", self="%x"),
        node("aten.cos.default", "b", self="%a"),
        node("aten.exp.default", "c", self="%b"),
        node("aten.exp.default", "unused", self="%x"),
    ]
    routine = Routine(graph(["x"], nodes, ["%c"]), nodes, {"c"})
    env = {"x": X}
    seen = []

    def watch(step):
        def watched(env, symbols):
            step(env, symbols)
            seen.append(set(env))

        return watched

    routine.steps = tuple((watch(step), dead) for step, dead in routine.steps)
    routine(env, {})
    assert seen == [{"x", "a"}, {"x", "a", "b"}, {"x", "b", "c"}, {"x", "c", "unused"}]
    assert set(env) == {"x", "c"}
    kept = weakref.ref(env.pop("c"))
    gc.collect()
    assert kept() is None


# --------------------------------------------------------------------------------------------- interpret


def test_interpret_writes_in_place_what_the_program_writes():
    nodes = [
        node("aten.add_.Tensor", "m", self="%b_n", other="%x"),
        node("aten.mul_.Scalar", "k", self="%x", other=2),
        node("aten.neg.default", "w", self="%b_o"),
    ]
    types = dict.fromkeys(("m", "k", "w"), T3)
    p = program({"x": T3}, nodes, ["%k"], types, buffers={"n": T3, "o": T3}, writes={"o": "w"})
    x, n, o = X.clone().requires_grad_(), X.clone(), X.clone()
    (y,) = interpret(p, {"n": n, "o": o}, [x], {})
    torch.testing.assert_close(y, 2 * X)
    torch.testing.assert_close(x.detach(), 2 * X)
    torch.testing.assert_close(n, 2 * X)
    torch.testing.assert_close(o, -X)


DATA = Path(__file__).parents[3] / "data" / "pt2"
FILES = sorted(DATA.glob("*/*.pt2"))


def read_array(array, dtype):
    """An expectation as a torch tensor; bfloat16 is stored as its bits."""
    raw = torch.from_numpy(array.copy())
    return raw.view(torch.bfloat16) if dtype in (torch.bfloat16, DType.BFLOAT16) else raw


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_files_as_read_give_what_eager_gave(path):
    p, stored = read_pt2(path)
    binder = Binder(p)
    expected = np.load(path.with_suffix(".expected.npz"))
    inputs = [read_array(expected[f"in{i}"], leaf.type.dtype) for i, leaf in enumerate(binder.leaves)]
    names = [spec.fqn for spec in p.signature.inputs if spec.fqn]
    held = torch_weights(stored, names, private=names)
    outputs = interpret(p, held, inputs, binder.bind_leaves(inputs).symbols)
    got = {f"out{i}": out for i, out in enumerate(outputs)}
    got |= {f"after_in{i}": given for i, given in enumerate(inputs)}
    got |= {f"after_buffer.{name}": tensor for name, tensor in held.items()}
    wanted = {key for key in expected.files if key.startswith(("out", "after_"))}
    assert wanted <= got.keys()
    for key in sorted(wanted):
        torch.testing.assert_close(
            got[key].detach(), read_array(expected[key], got[key].dtype), rtol=1e-5, atol=1e-6, msg=key
        )
