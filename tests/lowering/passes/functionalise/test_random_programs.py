"""Random programs of views and writes: functionalised, they do what eager does."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lowering.passes.eager import Body, check, inputs

# Each takes a tensor of any rank and sizes, and gives a view of it, a copy, or itself.
STEPS = (
    lambda t: t.t() if t.dim() <= 2 else t.transpose(0, -1),
    lambda t: t.reshape(-1),
    lambda t: t.reshape(2, -1) if t.numel() % 2 == 0 else t,
    lambda t: t[1:] if t.dim() and t.shape[0] > 1 else t,
    lambda t: t[..., ::2] if t.dim() else t,
    lambda t: t[0] if t.dim() else t,
    lambda t: t.select(-1, -1) if t.dim() else t,
    lambda t: t.unsqueeze(-1),
    lambda t: t.squeeze(),
    lambda t: t.diagonal() if t.dim() >= 2 else t,
    lambda t: t.flatten(),
    lambda t: t.contiguous(),
    lambda t: t.chunk(2, -1)[-1] if t.dim() else t,
    lambda t: t.unbind(0)[-1] if t.dim() else t,
    lambda t: t.movedim(0, -1) if t.dim() else t,
    lambda t: t.to(torch.float32),
    lambda t: t.clone(),
    lambda t: t.detach(),
    lambda t: t.narrow(0, 0, 1) if t.dim() else t,
)
WRITES = (
    lambda t, other: t.add_(other.sum()),
    lambda t, other: t.mul_(2),
    lambda t, other: t.relu_(),
    lambda t, other: t.copy_(other.flatten()[0] - t),
    lambda t, other: t.fill_(0.5),
)


def _run(plan, tensors):
    """`plan`: per line, which value is taken, what is done to it, and which other value it reads."""
    live = list(tensors)
    for taken, kind, step, other in plan:
        value = live[taken % len(live)]
        if kind == "view":
            live.append(STEPS[step % len(STEPS)](value))
        else:
            live.append(WRITES[step % len(WRITES)](value, live[other % len(live)]))
    return tuple(value * 1 for value in live)


LINE = st.tuples(
    st.integers(0, 20), st.sampled_from(["view", "view", "write"]), st.integers(0, 94), st.integers(0, 20)
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(LINE, min_size=2, max_size=9))
def test_random_programs(plan):
    check(Body(lambda *tensors: _run(plan, tensors)), inputs())
