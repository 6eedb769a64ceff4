"""A StableHLO module as a plain value: what emission makes and an engine compiles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lowering.ir.types import DType


@dataclass(frozen=True, slots=True)
class Port:
    """One argument or result of a module's `@main`: dense, row-major, of static sizes.

    `weight`: the full name of the weight this argument always is (its bytes never change between calls), or
    None for an argument that comes with each call.
    """

    name: str
    dtype: DType
    sizes: tuple[int, ...]
    weight: str | None = None


class CheckKind(Enum):
    """What a check is of, and so which error the caller gets."""

    #: An index out of bounds: IndexError.
    INDEX = "index"
    #: A matrix that cannot be factorised: torch.linalg.LinAlgError.
    LINEAR_ALGEBRA = "linear algebra"
    #: An assertion of the program: RuntimeError.
    ASSERTION = "assertion"


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold of the data. `message`: one sentence that says what does not, and where."""

    kind: CheckKind
    message: str


@dataclass(frozen=True, slots=True)
class Module:
    """A StableHLO module as portable bytecode, and the types of its `@main`.

    `checks`: if there are any, the last output is a bool tensor with one element per check, True where it
    does not hold. `load`: a module of weights alone that runs once, when this one is loaded; its results are
    the inputs of this one whose `weight` is their name.

    `donated`: (input, output) by name: a call may write the output where the input lies, for nothing reads
    the input's old value afterwards. `preflight`: a module of the same checks and nothing else, on some of
    the inputs: what is to be asked before a donated input is overwritten.

    `foreign`: the bytes are a file's, and somebody else may have made them: no compiler of this process may
    read them as they are.
    """

    code: bytes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    name: str = "main"
    checks: tuple[Check, ...] = ()
    load: Module | None = None
    donated: tuple[tuple[str, str], ...] = ()
    preflight: Module | None = None
    foreign: bool = False

    def donations(self) -> tuple[tuple[int, int], ...]:
        """`donated` as places among the inputs and the outputs."""
        inputs = {port.name: at for at, port in enumerate(self.inputs)}
        outputs = {port.name: at for at, port in enumerate(self.outputs)}
        return tuple((inputs[given], outputs[made]) for given, made in self.donated)
