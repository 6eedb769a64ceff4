"""Which nodes a dispatch computes, read from the compiler's modules as text."""

from __future__ import annotations

from lowering.targets.iree.dispatches import nodes_of_dispatches


def executable(number: int, *locations: str) -> str:
    """A dispatch of negations at these places; its constant lies at another node's."""
    lines = [
        f'%{i + 1} = arith.negf %{i} : f32 loc("{name}"("net.py":{i + 1}:0))'
        for i, name in enumerate(locations)
    ]
    body = "\n".join(lines)
    return f"""
  flow.executable private @main_dispatch_{number} {{
    flow.executable.export public @main_dispatch_{number}_neg
    builtin.module {{
      func.func @main_dispatch_{number}_neg() {{
        %0 = arith.constant 1.0 : f32 loc("elsewhere"("net.py":9:0))
        {body}
        return loc("elsewhere")
      }}
    }}
  }}"""


def called(*sites: tuple[int, str], operation: str = "flow.dispatch", function: str = "main") -> str:
    """A function that calls dispatches at these places."""
    if operation == "flow.dispatch":
        lines = [
            f"%{i} = flow.dispatch @main_dispatch_{number}::@main_dispatch_{number}_neg(%x) : "
            f'(tensor<4xf32>) -> tensor<4xf32> loc("{place}"("net.py":1:0))'
            for i, (number, place) in enumerate(sites)
        ]
        return f"util.func public @{function}(%x: tensor<4xf32>) {{\n" + "\n".join([*lines, "util.return }"])
    lines = [
        f"stream.cmd.dispatch @main_dispatch_{number}::@main_dispatch_{number}_neg {{\n"
        f"ro %y[%c for %c] : !stream.resource<external>{{%c}}\n"
        f'}} loc("{place}"("net.py":1:0))'
        for number, place in sites
    ]
    return (
        f"util.func public @{function}(%x: !stream.resource<external>, %c: index) {{\n"
        "%t = stream.cmd.execute with(%x as %y: !stream.resource<external>{%c}) {\n"
        + "\n".join([*lines, "} => !stream.timepoint", "util.return }"])
    )


def module(*parts: str) -> str:
    return "module {\n" + "\n".join(parts) + "\n}"


COMMANDS = "stream.cmd.dispatch"


def test_equal_dispatches_keep_their_own_nodes() -> None:
    before = module(
        executable(0, "mul", "add"), executable(1, "mul_1", "add_1"), called((0, "add"), (1, "add_1"))
    )
    after = module(executable(0, "mul", "add"), called((0, "add"), (0, "add_1")))
    # The commands came in another order.
    ordered = module(called((0, "add_1"), (0, "add"), operation=COMMANDS))
    found = nodes_of_dispatches(before, after, ordered, "main")
    assert found == {"main_dispatch_0_neg": [("mul_1", "add_1"), ("mul", "add")]}


def test_a_dispatch_that_came_later_has_the_nodes_of_its_place() -> None:
    whole = module(executable(0, "mul"), called((0, "mul")))
    ordered = module(called((0, "mul"), (7, "linear"), operation=COMMANDS))
    found = nodes_of_dispatches(whole, whole, ordered, "main")
    assert found == {"main_dispatch_0_neg": [("mul",)], "main_dispatch_7_neg": [("linear",)]}


def test_functions_do_not_mix() -> None:
    whole = module(
        executable(0, "mul"), executable(1, "add"), called((0, "x")), called((1, "x"), function="other")
    )
    ordered = module(
        called((1, "x"), operation=COMMANDS, function="other"), called((0, "x"), operation=COMMANDS)
    )
    assert nodes_of_dispatches(whole, whole, ordered, "main") == {"main_dispatch_0_neg": [("mul", "x")]}
    assert nodes_of_dispatches(whole, whole, ordered, "other") == {"main_dispatch_1_neg": [("add", "x")]}
