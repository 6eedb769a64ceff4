"""What lowering raises. `Unsupported` is an answer (the node runs on ATen), the others are errors."""

from __future__ import annotations


class Unsupported(Exception):
    """A rule's way to say that it does not lower this node; the reason is shown to the user."""

    @property
    def reason(self) -> str:
        return str(self)


class RuleError(Exception):
    """A rule emitted what the program does not say: a bug in the rule, never the user's mistake."""


class LoweringError(Exception):
    """The program cannot be lowered as asked; the message says what, where and what to do."""


class OperatorError(RuleError, LoweringError):
    """What somebody registered for an operator is wrong: which operator, what was registered, how."""
