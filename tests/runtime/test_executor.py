"""`Compiled` on an engine of numpy copies: values, effects, memory, failures."""

import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from bridge.compiled.compiled import Compiled
from lowering.host.weights import WeightError
from lowering.ir.errors import EngineError
from lowering.ir.plan import Placement, Plan
from lowering.ir.program import OutputKind, OutputSpec, Ref
from lowering.ir.symbols import Apply
from lowering.ir.tree import LEAF
from lowering.ir.types import SymKind, SymType
from lowering.ir.weights import Weights
from lowering.targets.errors import ExecutionError, UnknownOperator
from runtime.bound_weights import BoundWeights
from runtime.executor import Executor
from runtime.inputs import InputError
from tests.runtime.fakes import N, compiled, node, plan, program, tensor, tree, weights

HLO, ATEN = Placement.STABLEHLO, Placement.ATEN
T3 = tensor(3)


def affine():
    """y = x * w + x"""
    nodes = [
        node("aten.mul.Tensor", "a", self="%x", other="%b_w"),
        node("aten.add.Tensor", "y", self="%a", other="%x"),
    ]
    return program({"x": T3}, nodes, ["%y"], {"a": T3, "y": T3}, buffers={"w": T3})


W = np.array([1, 2, 3], np.float32)
X = np.array([1, 1, 2], np.float32)
Y = X * W + X


@pytest.mark.parametrize(
    "placements", [[(HLO, "ay")], [(ATEN, "ay")], [(HLO, "a"), (ATEN, "y")], [(ATEN, "a"), (HLO, "y")]]
)
def test_torch_in_torch_out_numpy_in_numpy_out(placements):
    f, _ = compiled(affine(), *placements, weights=weights(w=W))
    out = f(torch.from_numpy(X))
    assert type(out) is torch.Tensor
    assert not out.requires_grad
    np.testing.assert_array_equal(out.numpy(), Y)
    out = f(X)
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, Y)
    assert f.report.calls == 2


def test_weights_are_bound_once_and_shared_between_segments():
    nodes = [
        node("aten.mul.Tensor", "a", self="%x", other="%b_w"),
        node("aten.sin.default", "s", self="%a"),
        node("aten.mul.Tensor", "y", self="%s", other="%b_w"),
    ]
    p = program({"x": T3}, nodes, ["%y"], {"a": T3, "s": T3, "y": T3}, buffers={"w": T3})
    f, engine = compiled(p, (HLO, "a"), (ATEN, "s"), (HLO, "y"), weights=weights(w=W))
    first = f(X)
    np.testing.assert_array_equal(f(X), first)
    assert len(engine.loads) == 2
    assert engine.bound[0]["w"] is engine.bound[1]["w"]


def test_a_gradient_is_refused_where_eager_records_one():
    x = torch.from_numpy(X).requires_grad_()
    for placement in (HLO, ATEN):
        f, _ = compiled(affine(), (placement, "ay"), weights=weights(w=W))
        with pytest.raises(InputError, match=r"`x` requires grad.*pass x\.detach\(\), or call under"):
            f(x)
        with torch.no_grad():
            assert not f(x).requires_grad
        with torch.inference_mode():
            f(x)


def test_strided_and_misaligned_inputs_are_copied_and_counted():
    f, _ = compiled(affine(), weights=weights(w=W))
    f(torch.from_numpy(X).clone())
    assert f.report.copies == 0
    strided = torch.zeros(6)[::2].copy_(torch.from_numpy(X))
    np.testing.assert_array_equal(f(strided).numpy(), Y)
    assert f.report.copies == 1
    misaligned = torch.zeros(4)[1:].copy_(torch.from_numpy(X))
    np.testing.assert_array_equal(f(misaligned).numpy(), Y)
    assert f.report.copies == 2
    np.testing.assert_array_equal(f(np.zeros(6, np.float32)[::2] + X), Y)


def test_a_wrong_input_is_refused_before_anything_runs():
    f, engine = compiled(affine(), weights=weights(w=W))
    with pytest.raises(InputError, match="dim 0 of `x` is 4, the program takes 3"):
        f(torch.zeros(4))
    assert engine.calls == 0


# --------------------------------------------------------------------------------------------- outputs


def outputs_program(placement):
    """Returns its input, a weight, one value twice, literals, and a view of the weight."""
    nodes = [
        node("aten.sin.default", "s", self="%x"),
        node("aten.view.default", "v", self="%b_w", size=(3, 1)),
    ]
    p = program(
        {"x": T3},
        nodes,
        ["%s", "%x", "%b_w", "%s", None, 7, "%v"],
        {"s": T3, "v": tensor(3, 1)},
        buffers={"w": T3},
        out_spec=tree(*[LEAF] * 7, names=list("abcdefg")),
    )
    return compiled(p, (placement, ["s", "v"]), weights=weights(w=W))[0]


@pytest.mark.parametrize("placement", [HLO, ATEN])
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_returned_inputs_weights_literals_and_repeats(placement, kind):
    f = outputs_program(placement)
    x = torch.from_numpy(X.copy()) if kind == "torch" else X.copy()
    out = f(x)
    assert list(out) == list("abcdefg")
    assert out["a"] is out["d"]
    assert out["b"] is x
    assert out["e"] is None
    assert out["f"] == 7
    np.testing.assert_array_equal(np.asarray(out["c"]), W)
    # The weights are read-only memory: what is returned must be the caller's to write.
    out["c"][...] = 0
    out["g"][...] = 0
    np.testing.assert_array_equal(np.asarray(f(x)["c"]), W)
    np.testing.assert_array_equal(np.asarray(f(x)["g"])[:, 0], W)


def test_symbolic_scalars_are_returned_as_ints():
    types = {"n": SymType(SymKind.INT, N), "m": SymType(SymKind.INT, Apply("Mul", (2, N))), "y": tensor(N)}
    nodes = [
        node("aten.sym_size.int", "n", self="%x", dim=0),
        node("_operator.mul", "m", "%n", 2),
        node("aten.sin.default", "y", self="%x"),
    ]
    p = program({"x": tensor(N)}, nodes, ["%n", "%m", "%y"], types)
    for placements in (((HLO, "y"),), ((ATEN, "y"),), ((ATEN, "nmy"),)):
        n, m, y = compiled(p, *placements)[0](torch.zeros(5))
        assert (n, m) == (5, 10)
        assert type(n) is type(m) is int
        assert y.shape == (5,)


# --------------------------------------------------------------------------------------------- effects


def counter(**rest):
    """n += x; returns n * 2"""
    nodes = [
        node("aten.add.Tensor", "m", self="%b_n", other="%x"),
        node("aten.mul.Scalar", "y", self="%m", other=2),
    ]
    return program({"x": T3}, nodes, ["%y"], {"m": T3, "y": T3}, buffers={"n": T3}, writes={"n": "m"}, **rest)


PLACES = [[(HLO, "my")], [(ATEN, "my")], [(HLO, "m"), (ATEN, "y")], [(ATEN, "m"), (HLO, "y")]]


@pytest.mark.parametrize("placements", PLACES)
def test_a_buffer_is_kept_between_calls(placements):
    stored = weights(n=W)
    f, _ = compiled(counter(), *placements, weights=stored)
    np.testing.assert_array_equal(f.buffers["n"], W)
    for times in (1, 2, 3):
        np.testing.assert_array_equal(f(torch.from_numpy(X)).numpy(), 2 * (W + times * X))
        np.testing.assert_array_equal(f.buffers["n"], W + times * X)
    np.testing.assert_array_equal(f(X), 2 * (W + 4 * X))
    np.testing.assert_array_equal(stored.storages["n"].open().view(np.float32), W)


@pytest.mark.parametrize("placements", [[(HLO, "m")], [(ATEN, "m")]])
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_returned_buffer_is_the_callers_own(placements, kind):
    nodes = [node("aten.add.Tensor", "m", self="%b_n", other="%x")]
    p = program({"x": T3}, nodes, ["%m", "%b_n"], {"m": T3}, buffers={"n": T3}, writes={"n": "m"})
    f, _ = compiled(p, *placements, weights=weights(n=W))
    x = torch.from_numpy(X.copy()) if kind == "torch" else X.copy()
    for _ in range(2):
        before = f.buffers["n"]
        new, old = f(x)
        np.testing.assert_array_equal(np.asarray(old), before)
        new[...] = -1
        old[...] = -1
        np.testing.assert_array_equal(f.buffers["n"], before + X)


@pytest.mark.parametrize("placement", [HLO, ATEN])
def test_a_buffer_that_takes_an_input_does_not_share_its_memory(placement):
    nodes = [
        node("aten.view.default", "v", self="%x", size=(3,)),
        node("aten.view.default", "y", self="%v", size=(3, 1)),
    ]
    types = {"v": T3, "y": tensor(3, 1)}
    p = program({"x": T3}, nodes, ["%y"], types, buffers={"n": T3, "o": T3}, writes={"n": "v", "o": "x"})
    f, _ = compiled(p, (placement, "vy"), weights=weights(n=W, o=W))
    x = torch.from_numpy(X.copy())
    y = f(x)
    x.fill_(-1)
    y.fill_(-2)
    np.testing.assert_array_equal(f.buffers["n"], X)
    np.testing.assert_array_equal(f.buffers["o"], X)


def test_buffers_that_are_swapped():
    p = program(
        {"x": T3},
        [node("aten.add.Tensor", "y", self="%x", other="%b_a")],
        ["%y"],
        {"y": T3},
        buffers={"a": T3, "b": T3},
        writes={"a": "b_b", "b": "b_a"},
    )
    f, _ = compiled(p, weights=weights(a=W, b=2 * W))
    np.testing.assert_array_equal(f(X), X + W)
    np.testing.assert_array_equal(f(X), X + 2 * W)
    np.testing.assert_array_equal(f.buffers["b"], 2 * W)


def bump():
    """x += 1 in place; returns x and the x before, in a view."""
    nodes = [
        node("aten.view.default", "old", self="%x", size=(3, 1)),
        node("aten.add.Scalar", "new", self="%x", other=1),
    ]
    types = {"old": tensor(3, 1), "new": T3}
    return program({"x": T3, "z": T3}, nodes, ["%new", "%old"], types, writes={"x": "new"})


@pytest.mark.parametrize("placements", [[(HLO, ["old", "new"])], [(ATEN, ["old", "new"])]])
@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_inputs_are_written_after_everything_else(placements, kind):
    f, _ = compiled(bump(), *placements)
    make = torch.from_numpy if kind == "torch" else np.asarray
    x, z = make(X.copy()), make(X.copy())
    new, old = f(x, z)
    assert new is x
    np.testing.assert_array_equal(np.asarray(x), X + 1)
    np.testing.assert_array_equal(np.asarray(old)[:, 0], X)


def test_a_strided_input_is_written_through():
    f, _ = compiled(bump())
    whole = torch.zeros(6)
    f(whole[::2], torch.zeros(3))
    assert whole.tolist() == [1, 0, 1, 0, 1, 0]


def test_inputs_that_are_swapped():
    p = program(
        {"x": T3, "y": T3},
        [node("aten.sin.default", "s", self="%x")],
        ["%s"],
        {"s": T3},
        writes={"x": "y", "y": "x"},
    )
    for placement in (HLO, ATEN):
        x, y = X.copy(), W.copy()
        compiled(p, (placement, "s"))[0](x, y)
        np.testing.assert_array_equal(x, W)
        np.testing.assert_array_equal(y, X)


def test_inputs_that_cannot_be_written_are_refused():
    f, engine = compiled(bump())
    frozen = X.copy()
    frozen.flags.writeable = False
    with pytest.raises(InputError, match="`x` is read-only, and the program writes to it"):
        f(frozen, X.copy())
    with pytest.raises(InputError, match=r"`x` is expanded .a stride is 0., and the program writes to it"):
        f(torch.zeros(1).expand(3), torch.zeros(3))
    with torch.inference_mode():
        inference = torch.zeros(3)
    with pytest.raises(InputError, match="`x` is an inference tensor"):
        f(inference, torch.zeros(3))
    shared = torch.zeros(4)
    with pytest.raises(InputError, match="`x`, which the program writes to, shares memory with `z`"):
        f(shared[1:], shared[:3])
    assert engine.calls == 0


@pytest.mark.parametrize("kind", ["engine", "aten"])
def test_a_failed_call_changes_nothing(kind):
    nodes = [
        node("aten.add.Tensor", "m", self="%b_n", other="%x"),
        node("aten.add.Scalar", "new", self="%x", other=1),
        node("aten.select.int", "y", self="%m", dim=0, index="%i"),
    ]
    types = {"m": T3, "new": T3, "y": tensor()}
    inputs = {"x": T3, "i": SymType(SymKind.INT, N)}
    p = program(inputs, nodes, ["%y"], types, buffers={"n": T3}, writes={"n": "m", "x": "new"})
    f, engine = compiled(p, (ATEN, ["m", "new", "y"]), weights=weights(n=W))
    if kind == "engine":
        f, engine = compiled(p, (HLO, ["m"]), (ATEN, ["y"]), (HLO, ["new"]), weights=weights(n=W))
    x = torch.from_numpy(X.copy())
    f(x, 1)
    before = f.buffers["n"]
    with pytest.raises(IndexError, match=r"node y, aten.select.int: IndexError: "):
        f(x, 3)
    if kind == "engine":
        engine.fail = True
        with pytest.raises(EngineError, match="the engine failed"):
            f(x, 0)
    np.testing.assert_array_equal(x.numpy(), X + 1)
    np.testing.assert_array_equal(f.buffers["n"], before)


# ------------------------------------------------------------------------------------- symbols and fallbacks


def test_values_are_freed_after_their_last_use():
    nodes = [
        node("aten.sin.default", "a", self="%x"),
        node("aten.cos.default", "b", self="%a"),
        node("aten.exp.default", "y", self="%b"),
    ]
    p = program({"x": T3}, nodes, ["%y"], {"a": T3, "b": T3, "y": T3})
    f, _ = compiled(p, (ATEN, "a"), (ATEN, "b"), (ATEN, "y"))
    alive = []
    steps = []
    for step, dead in f.executor.loaded.calls:

        def watched(frame, step=step):
            step(frame)
            alive.append({name for name, ref in watch.items() if ref() is not None})
            for name, value in frame.host.items():
                if name in ("a", "b"):
                    watch[name] = weakref.ref(value)

        steps.append((watched, dead))
    watch = {}
    f.executor.loaded.calls = tuple(steps)
    f(torch.zeros(3))
    assert alive == [set(), {"a"}, {"b"}]


def test_what_cannot_be_run_is_said_at_construction():
    p = program({"x": T3}, [node("mine.op.default", "y", x="%x")], ["%y"], {"y": T3})
    with pytest.raises(UnknownOperator, match=r"node y: custom operator mine.op.default is not registered"):
        compiled(p, (ATEN, "y"))
    with pytest.raises(WeightError, match="the program has no weight named 'w'"):
        compiled(affine())
    p = affine()
    wrong = OutputSpec(OutputKind.PARAMETER_GRADIENT, Ref("y"), "w")
    p = replace(p, signature=replace(p.signature, outputs=(*p.signature.outputs, wrong)))
    with pytest.raises(ExecutionError, match="outputs of kind parameter_gradient cannot be run"):
        Executor(p, plan(p), BoundWeights(Weights()))


def test_a_program_without_nodes():
    p = program({"x": T3}, [], ["%x", 1], {})
    x = torch.zeros(3)
    out = Compiled(Executor(p, Plan(()), BoundWeights(Weights())))(x)
    assert out[0] is x
    assert out[1] == 1


def test_the_report_counts_nodes_by_side():
    f, _ = compiled(affine(), (HLO, "a"), (ATEN, "y"), weights=weights(w=W))
    assert f.report.json()["nodes"] == {"stablehlo": 1, "aten": 1}
    assert [s["placement"] for s in f.report.json()["segments"]] == ["stablehlo", "aten"]


def test_threads_share_one_state():
    f, _ = compiled(counter(), weights=weights(n=W))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: f(X), range(40)))
    np.testing.assert_array_equal(f.buffers["n"], W + 40 * X)
