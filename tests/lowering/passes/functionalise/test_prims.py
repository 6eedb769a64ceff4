"""Views of torch's prims are views; an operator that only has a view's name is none."""

import torch

from lowering.ir.aten import schema, targets
from lowering.ir.view_rules import rules
from lowering.passes.pipelines import canonical
from tests.lowering.passes.eager import Body, check, exported, inputs

PRIMS = torch.ops.prims


def viewed(view, back=torch.Tensor.clone):
    """Writes to a view of a fresh tensor and to one of the buffer, and returns what they are views of."""

    def body(state, x, y):
        fresh = x + y
        view(fresh).mul_(2)
        view(state).add_(1)
        return fresh, back(view(fresh)), state * 2

    return Body(body)


VIEWS = {
    "transpose": lambda t: PRIMS.transpose(t, [1, 0]),
    "split_dim": lambda t: PRIMS.split_dim(t, 1, 2),
    "collapse_view": lambda t: PRIMS.collapse_view(t, 0, 1),
    "broadcast_in_dim": lambda t: PRIMS.broadcast_in_dim(t, [3, 1, 4], [0, 2]),
    "squeeze": lambda t: PRIMS.squeeze(t.unsqueeze(1), [1]),
    "view_of": lambda t: PRIMS.view_of(t),
    "as_strided": lambda t: PRIMS.as_strided(t, [2, 3], [4, 1], 1),
}


def test_writes_through_views_reach_what_they_are_views_of():
    for name, view in VIEWS.items():
        functional = check(viewed(view), inputs())
        assert not any("add_" in node.target and not node.functional for node in functional.graph.nodes), name


def test_a_view_of_what_was_written_is_taken_of_its_new_value():
    def body(state, x, y):
        turned = (x + 1).t()
        turned.mul_(y.t())
        return PRIMS.collapse_view(turned.t(), 0, 1), PRIMS.transpose(turned, [1, 0])

    check(Body(body), inputs())


def test_every_view_of_the_table_is_known_by_its_exact_overload():
    """What is not known may share elements or not; then writes beside it are not made values."""
    unknown = {
        target
        for namespace in ("aten", "prims")
        for target in targets(namespace)
        if any(result.alias and not result.writes for result in schema(target).returns)
        and target not in rules()
    }
    assert {target.split(".")[1] for target in unknown} == UNKNOWN


# Of sparse and nested tensors, of derivatives, and what is a view or not by the device.
UNKNOWN = frozenset(
    """
    _fw_primal _indices _make_dual _nested_get_values _nested_view_from_buffer _nested_view_from_jagged
    _sparse_broadcast_to _test_autograd_multiple_dispatch_view _unpack_dual _values ccol_indices coalesce
    col_indices crow_indices indices pin_memory row_indices slice_inverse values
    """.split()
)


def test_an_operator_of_a_view_s_name_is_no_such_view():
    library = torch.library.Library("bridge_named", "FRAGMENT")
    library.define("transpose(Tensor x, int by) -> Tensor")
    library.impl("transpose", lambda x, by: x * by, "CompositeExplicitAutograd")
    library.impl("transpose", lambda x, by: torch.empty_like(x), "Meta")
    library.define("select(Tensor(a) x) -> Tensor(a)")
    library.impl("select", lambda x: x.view(x.shape), "CompositeExplicitAutograd")
    library.impl("select", lambda x: x.view(x.shape), "Meta")

    def body(state, x, y):
        return torch.ops.bridge_named.transpose(x, 3) + y, torch.ops.bridge_named.select(y) * 2

    from lowering.ir.custom_operators import schema_of

    program, weights = exported(Body(body), inputs())
    functional = canonical(weights, schema_of).run(program)
    assert next(n.target for n in functional.graph.nodes) == "bridge_named.transpose.default"
