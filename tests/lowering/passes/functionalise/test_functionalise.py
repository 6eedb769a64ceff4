"""Writes to buffers, inputs and temporaries, through every kind of view, and what is refused."""

from dataclasses import replace

import pytest
import torch

from lowering.ir.program import OutputKind
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, TensorType
from lowering.passes.builder import _disjoint
from lowering.passes.errors import NotFunctional
from lowering.passes.pipelines import canonical
from tests.lowering.passes.eager import Body, check, exported, inputs

VIEWS = {
    "itself": lambda t: t,
    "detach": lambda t: t.detach(),
    "view": lambda t: t.view(-1),
    "reshape": lambda t: t.reshape(2, 6),
    "reshape of a transpose, a copy": lambda t: t.t().reshape(-1),
    "reshape of a transpose, a view": lambda t: t.t().reshape(4, 3, 1),
    "flatten": lambda t: t.flatten(),
    "unflatten": lambda t: t.unflatten(1, (2, 2)),
    "unsqueeze": lambda t: t.unsqueeze(1),
    "squeeze": lambda t: t[:, None].squeeze(1),
    "ravel": lambda t: t.ravel(),
    "ravel of a transpose, a copy": lambda t: t.t().ravel(),
    "t": lambda t: t.t(),
    "transpose": lambda t: t.transpose(-1, 0),
    "permute": lambda t: t.view(3, 2, 2).permute(2, 0, 1),
    "movedim": lambda t: t.view(3, 2, 2).movedim(0, -1),
    "movedim of two": lambda t: t.view(3, 2, 2).movedim((0, 1), (2, 0)),
    "swapaxes": lambda t: t.swapaxes(0, 1),
    "mT": lambda t: t.mT,
    "T": lambda t: t.T,
    "mH": lambda t: t.mH,
    "select": lambda t: t[1],
    "select from the end": lambda t: t[:, -1],
    "slice": lambda t: t[1:, ::2],
    "slice from the end": lambda t: t[:, -3:-1],
    "narrow": lambda t: t.narrow(1, 1, 2),
    "narrow from the end": lambda t: t.narrow(1, -3, 2),
    "diagonal": lambda t: t.diagonal(),
    "off-diagonal": lambda t: t.diagonal(1, 1, 0),
    "chunk": lambda t: t.chunk(3, 1)[1],
    "split": lambda t: t.split(2, -1)[1],
    "split by sizes": lambda t: t.split([1, 3], 1)[1],
    "tensor_split": lambda t: torch.tensor_split(t, 3, 1)[1],
    "hsplit": lambda t: torch.hsplit(t, 2)[1],
    "vsplit": lambda t: torch.vsplit(t, 3)[2],
    "unbind": lambda t: t.unbind(1)[2],
    "as_strided": lambda t: t.as_strided((2, 2), (5, 2), 1),
    "as_strided of a view": lambda t: t[1:].as_strided((2, 2), (4, 1)),
    "bits of the same size": lambda t: t.view(torch.int32),
    "bits of another size": lambda t: t.view(torch.int16),
    "complex": lambda t: torch.view_as_real(torch.view_as_complex(t.view(3, 2, 2)))[..., 1],
    "real": lambda t: torch.view_as_complex(t.view(3, 2, 2)).real,
    "imag": lambda t: torch.view_as_complex(t.view(3, 2, 2)).imag,
    "expand to the same size": lambda t: t.expand(3, 4),
    "contiguous": lambda t: t.contiguous(),
    "contiguous of a transpose, a copy": lambda t: t.t().contiguous(),
    "to the same type": lambda t: t.to(torch.float32),
    "to another type, a copy": lambda t: t.to(torch.float64),
    "type_as": lambda t: t.type_as(t),
    "a forced copy": lambda t: t.to(torch.float32, copy=True),
    "clone": lambda t: t.clone(),
    "dropout in eval mode": lambda t: torch.nn.functional.dropout(t, 0.5, training=False),
    "real of a real": lambda t: torch.real(t),
    "atleast_3d": lambda t: torch.atleast_3d(t),
    "broadcast_to": lambda t: t.broadcast_to(1, 3, 4),
    "several": lambda t: t.t()[1:3].reshape(2, 3)[:, 1:].unsqueeze(0),
}


@pytest.mark.parametrize("where", ["state", "input", "temporary"])
@pytest.mark.parametrize("view", VIEWS)
def test_writes_through_views(view, where):
    def function(state, x, y):
        base = {"state": state, "input": x, "temporary": x * 2}[where]
        before = base[0].sum()
        early = base[:, 1]
        VIEWS[view](base).add_(1)
        return base + y, before, early * 2, VIEWS[view](base) * 1, early

    functional = check(Body(function), inputs())
    kinds = [spec.kind for spec in functional.signature.outputs]
    writes = "a copy" not in view and view not in ("a forced copy", "clone")
    expected = {"state": OutputKind.BUFFER_MUTATION, "input": OutputKind.INPUT_MUTATION, "temporary": None}[
        where
    ]
    assert kinds[:-5] == ([expected] if writes and expected else [])


CASES = {
    "copy_ into a slice": lambda s, x, y: (s[:, 1:3].copy_(x[:, :2]), s * 1)[1],
    "copy_ of another type": lambda s, x, y: s.copy_(y.double()),
    "setitem": lambda s, x, y: (s.__setitem__((slice(None), 0), y[:, 0]), s + 0)[1],
    "index_put_": lambda s, x, y: (s.__setitem__(torch.tensor([0, 2]), 7.0), s + 0)[1],
    "two views of one base": lambda s, x, y: (x[0].add_(1), x[:, 0].mul_(2), x.t().sub_(y.t()), x.sum())[3],
    "a view read after a write elsewhere": lambda s, x, y: (lambda v: (x[1].zero_(), v + 1)[1])(x[2]),
    "writes that read their own base": lambda s, x, y: (x[0].add_(x[1]), x.mul_(x.sum()))[1],
    "returned views": lambda s, x, y: (x.add_(1)[0], x.t(), y.mul_(2).view(-1)),
    "a chain of results": lambda s, x, y: x.add_(1).mul_(2).view(12).relu_().view(3, 4).sub_(y),
    "a result written later": lambda s, x, y: (lambda r: (x.mul_(3), r + 1)[1])(x.add_(1)),
    "input written into a buffer": lambda s, x, y: (s.add_(x), x.add_(s), y.add_(x))[2],
    "fill_ and zero_": lambda s, x, y: (x.fill_(3.0), y[1].zero_(), x + y)[2],
    "masked_fill_": lambda s, x, y: x.masked_fill_(y > 0, -1.0),
    "scatter_": lambda s, x, y: x.scatter_(1, torch.zeros(3, 1, dtype=torch.int64), 5.0),
    "out=": lambda s, x, y: (torch.add(x, y, out=s), s * 2)[1],
    "foreach": lambda s, x, y: (torch._foreach_add_([s, x], 2.0), s + x)[1],
    "set_grad_enabled": lambda s, x, y: (lambda z: _no_grad(s, z))(x * 2),
    "a constant made in place": lambda s, x, y: torch.zeros(3, 4).add_(x)[1:].mul_(2),
    "unused writes to a temporary": lambda s, x, y: (x.clone().add_(1), x * 2)[1],
    "requires_grad_ writes nothing": lambda s, x, y: y.clone().requires_grad_(False).add_(1),
    "expanded views are read anew": lambda s, x, y: (lambda e: (s.add_(1), e + x)[1])(s[:1].expand(3, 4)),
    "unfold is read anew": lambda s, x, y: (lambda u: (s.add_(1), u.sum(-1))[1])(s.unfold(1, 2, 1)),
    "meshgrid is read anew": lambda s, x, y: (lambda g: (s.add_(1), g[0] + g[1])[1])(
        torch.meshgrid(s[0], y[0], indexing="ij")
    ),
}


def _no_grad(state, x):
    with torch.no_grad():
        state.add_(x)
        inner = state[0] * 2
    return inner + state.sum()


@pytest.mark.parametrize("name", CASES)
def test_cases(name):
    check(Body(CASES[name]), inputs())


def test_training_batch_norm_writes_its_statistics():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(x) + self.norm.running_mean

    module = Net()
    module.train()
    args = (torch.arange(12.0).reshape(3, 4),)
    from lowering.frontend.exported_program import export, from_exported_program

    program, weights = from_exported_program(export(module, args))
    functional = canonical(weights).run(program)
    written = [spec.destination for spec in functional.signature.outputs if spec.destination is not None]
    assert written == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]


def test_symbolic_sizes():
    batch = torch.export.Dim("batch", min=3, max=64)

    def function(state, x, y):
        flat = x.reshape(-1, 2)
        flat.mul_(2)
        x.t()[1:3].add_(1)
        x.view(-1, 2, 2)[:, 1].relu_()
        state.add_(x.sum())
        return x + y, flat, x[1:, 2].sum()

    shapes = {"x": {0: batch}, "y": {0: batch}}
    call = (torch.arange(20.0).reshape(5, 4) - 7, torch.ones(5, 4))
    program, _ = exported(Body(function), inputs(), shapes)
    (symbol,) = program.ranges
    check(Body(function), inputs(), shapes, call, {symbol: 5})


def test_parameters_and_what_the_signature_says_already():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(3, 4), requires_grad=False)

        def forward(self, x, y):
            self.weight.add_(x)
            return self.weight * y

    functional = check(Net(), inputs())
    kinds = [(spec.kind, spec.destination) for spec in functional.signature.outputs]
    assert kinds == [(OutputKind.PARAMETER_MUTATION, "weight"), (OutputKind.USER, None)]
    assert canonical().run(functional) == functional


def test_a_program_without_writes_is_the_same_program():
    program, weights = exported(Body(lambda s, x, y: (s + x).t() @ y), inputs())
    assert canonical(weights).run(program) == program


def test_unused_nodes_go_and_checks_stay():
    def function(state, x, y):
        count = (x > 0).sum().item()
        torch._check(count <= 12)
        (x * 3).exp()
        return y + 1

    program, weights = exported(Body(function), inputs())
    targets = [node.target for node in canonical(weights).run(program).graph.nodes]
    assert "aten.exp.default" not in targets
    assert "aten._assert_scalar.default" in targets


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.zeros(4))
        self.register_buffer("b", self.a[1:])

    def forward(self, x):
        self.a.add_(x)
        return self.b + 1


def _written_to_a_branch(state, x, y):
    def yes(t):
        return t.clone()

    def no(t):
        t = t.clone()
        t.add_(1)
        return t * 1

    return torch.cond(x.sum() > 0, yes, no, (y,))


def test_branches_that_write_only_their_own():
    functional = check(Body(_written_to_a_branch), inputs())
    assert "add_" in str(functional)


REFUSED = {
    "weights that share memory": (Tied(), (torch.ones(4),), "it writes to a, which shares its memory with b"),
    "a write that changes sizes": (
        Body(lambda s, x, y: (x.clone().unsqueeze_(0), x)[0]),
        inputs(),
        "it changes the sizes or strides of its argument in place",
    ),
    "two writes to one place": (
        Body(lambda s, x, y: (torch._foreach_add_([s, s], 1.0), s * 1)[1]),
        inputs(),
        "it writes twice to tensors that share their elements",
    ),
    "einsum that may be a view": (
        Body(lambda s, x, y: (lambda e: (s.add_(1), e + 1)[1])(torch.einsum("ij->ji", s))),
        inputs(),
        "whether einsum shares its elements depends on",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_values_cannot_express_is_refused(name):
    module, args, message = REFUSED[name]
    program, weights = exported(module, args)
    with pytest.raises(NotFunctional, match=message) as caught:
        canonical(weights).run(program)
    assert caught.value.node is not None
    assert str(caught.value).startswith(f"node {caught.value.node.name}, {caught.value.node.target} (")


def test_elements_at_strides_that_are_not_known_may_be_the_same() -> None:
    type_ = TensorType(DType.FLOAT32, (2, 3), (3, 1))
    assert _disjoint(type_, (3, 1))
    assert not _disjoint(type_, (2, 1))
    assert not _disjoint(type_, (Symbol("s0"), 1))
    assert not _disjoint(replace(type_, sizes=(Symbol("s0"), 3)), (1, Symbol("s1")))


@pytest.mark.parametrize("place", [0, 1, 3, -1, -4])
def test_a_narrow_that_begins_where_the_data_says(place: int) -> None:
    """Counted from the end where it is negative; a view that was taken before sees later writes."""

    def body(state, x, p):
        part = state.narrow(1, p.item(), 1)
        part.mul_(2)
        state.add_(x)
        return state * 1, part + 1

    x = torch.arange(12.0).reshape(3, 4)
    functional = check(Body(body), (x, torch.tensor(1)), call=(x, torch.tensor(place)))
    assert "aten.slice_scatter.default" in str(functional)
