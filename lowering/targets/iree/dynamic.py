"""A loaded binary for all sizes: what it is at the sizes of a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.errors import EngineError
from lowering.ir.symbols import Scalar

if TYPE_CHECKING:
    from lowering.targets.iree.executable import Handle, IreeExecutable


class DynamicExecutable:
    """A loaded IREE module for all sizes, with its weights bound once.

    `handle`: makes a handle of an array.
    """

    def __init__(
        self, loaded: IreeExecutable, module: DynamicModule, handle: Callable[[np.ndarray], Handle]
    ) -> None:
        self._loaded = loaded
        self._module = module
        self._handle = handle

    def at(self, sizes: Mapping[str, Scalar]) -> ExecutableAtSizes:
        """The executable for calls of these sizes, by symbol; it shares the binary and the weights.

        Raises EngineError for sizes that the module does not admit.
        """
        if not self._module.admits(sizes):
            raise EngineError(f"iree {self._module.name}: the binary is not for the sizes {dict(sizes)}")
        # Sizes that are arguments are the last ones.
        symbols = [port.symbol for port in self._module.inputs if port.symbol is not None]
        given = [self._handle(np.array(int(sizes[symbol]), np.int64)) for symbol in symbols]
        return ExecutableAtSizes(self._loaded.resized(self._module.at(sizes)), given)


class ExecutableAtSizes:
    """A module for all sizes on calls of some sizes: an `Executable`."""

    def __init__(self, loaded: IreeExecutable, sizes: list[Handle]) -> None:
        self._loaded = loaded
        self._sizes = sizes

    def __call__(self, handles: Sequence[Handle]) -> list[Handle]:
        """Run; raises EngineError for handles of other sizes, and for IREE's own failures.

        IREE compares no sizes of arguments that a call says, and reads as far as one of them says.
        """
        arguments = [*handles, *self._sizes]
        self._loaded.check_sizes(arguments)
        return self._loaded(arguments)
