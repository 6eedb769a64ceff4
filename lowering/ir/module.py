"""A StableHLO module as a plain value, from emission to an engine's compiler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lowering.ir.short_repr import ShortRepr
from lowering.ir.types import DType


@dataclass(frozen=True, slots=True)
class Port:
    """One argument or result of a module's `@main`: dense, row-major, of static sizes.

    `weight`: the full name of the weight that this argument always is. None for an argument that comes with
    each call.
    """

    name: str
    dtype: DType
    sizes: tuple[int, ...]
    weight: str | None = None


class CheckKind(Enum):
    """The subject of a check, and so the type of the caller's error."""

    #: An index out of bounds: IndexError.
    INDEX = "index"
    #: A matrix that cannot be factorised: torch.linalg.LinAlgError.
    LINEAR_ALGEBRA = "linear algebra"
    #: An assertion of the program: RuntimeError.
    ASSERTION = "assertion"


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on the data. `message`: one sentence that says what does not, and where."""

    kind: CheckKind
    message: str


@dataclass(frozen=True, slots=True, repr=False)
class Module(ShortRepr):
    """A StableHLO module as portable bytecode, and the types of its `@main`.

    `checks`: the last output, if any, is a bool tensor with an element per check, True where it fails.
    `load`: a module of weights alone that runs once, at load. Its results are the inputs of this module whose
    `weight` is their name.

    `donated`: (input, output) by name. A call may write the output where the input lies: nothing reads the
    old value afterwards. `preflight`: a module of the checks alone, on some of the inputs. It runs before a
    donated input is overwritten.

    `foreign`: the bytes are a file's, perhaps of another user. No compiler of this process may read them as
    they are.
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
