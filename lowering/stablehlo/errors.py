"""The errors of lowering. `Unsupported` is an answer (the node runs on ATen), the others are errors."""

from __future__ import annotations

from lowering.ir.errors import BridgeError


class Unsupported(Exception):
    """A rule's way to say that it does not lower this node; the reason is shown to the user."""

    @property
    def reason(self) -> str:
        return str(self)


class RuleError(BridgeError):
    """A rule failed, or emitted what the program does not say: which node. A bug in the rule, or arguments
    that its operator does not take."""


class LoweringError(BridgeError):
    """The program cannot be lowered as asked; the message says what, where and what to do."""


class OperatorError(RuleError, LoweringError):
    """A registration for an operator is wrong: the operator, the registered function, the fault."""
