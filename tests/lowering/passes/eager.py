"""A functionalised program against eager: results, inputs after the call, buffers after the call."""

import copy

import torch

from lowering.frontend.exported_program import export, from_exported_program
from lowering.host.weights import materialise
from lowering.ir.validate import validate
from lowering.passes.pipelines import canonical
from lowering.targets.aten.reference import interpret


class Body(torch.nn.Module):
    """A module around a function of a buffer, 3x4, and two inputs, 3x4."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.register_buffer("state", torch.arange(12.0).reshape(3, 4))

    def forward(self, x, y):
        return self.function(self.state, x, y)


def inputs():
    return torch.arange(12.0).reshape(3, 4) * 0.5 - 2, torch.arange(12.0).reshape(3, 4) * -0.25 + 1


def exported(module, args, dynamic_shapes=None):
    """The program as read, and its weights."""
    return from_exported_program(export(copy.deepcopy(module).eval(), args, dynamic_shapes=dynamic_shapes))


def leaves(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def check(module, args, dynamic_shapes=None, call=None, symbols=None):
    """Functionalise and compare with eager on `call`, by default the example. Returns the new program."""
    program, weights = exported(module, tuple(a.clone() for a in args), dynamic_shapes)
    functional = canonical(weights).run(program)
    validate(program)
    validate(functional, functional=True)
    call = args if call is None else call
    eager, eager_inputs = copy.deepcopy(module), [a.clone() for a in call]
    expected = [t.detach().clone() for t in leaves(eager(*eager_inputs))]
    ours, our_inputs = copy.deepcopy(module), [a.clone() for a in call]
    state = dict(ours.named_parameters()) | dict(ours.named_buffers())
    constants = [name for name in weights.views if name not in state]
    held = {name: torch.from_numpy(array.copy()) for name, array in materialise(weights, constants).items()}
    given = interpret(functional, state | held, our_inputs, symbols or {})
    for name, want, got in [
        *((f"result {i}", a, b) for i, (a, b) in enumerate(zip(expected, given, strict=True))),
        *((f"input {i}", a, b) for i, (a, b) in enumerate(zip(eager_inputs, our_inputs, strict=True))),
        *((name, value, state[name]) for name, value in eager.named_buffers()),
        *((name, value, state[name]) for name, value in eager.named_parameters()),
    ]:
        assert want.dtype == got.dtype, name
        torch.testing.assert_close(
            got.detach(),
            want.detach(),
            rtol=0,
            atol=0,
            equal_nan=True,
            msg=lambda m, n=name: f"{n}: {m}\n{functional}",
        )
    return functional
