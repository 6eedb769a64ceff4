"""A session: calls of a program over a state of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bridge.compiled.state import State, StateRefused
from runtime.buffer_store import BufferStore


class Stateful(Protocol):
    """A program that can be called over the buffers of any state of its own."""

    def call(self, store: BufferStore, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call it over these buffers."""
        ...


class Session:
    """Called like the program that it is of, over the same weights and code.

    Sessions of different states run side by side in different threads; calls over one state wait for each
    other. As a context manager it lets go of its state at the end.
    """

    def __init__(self, program: Stateful, state: State) -> None:
        self._program = program
        self._state: State | None = state

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the program. Raises as that does, and StateRefused once the session has ended."""
        return self._program.call(self.state().store, args, kwargs)

    def state(self) -> State:
        """The state of this session, not a copy of it. Raises StateRefused once the session has ended."""
        if self._state is None:
            raise StateRefused(
                "the session has ended, and its state with it: clone the state before, or open another"
            )
        return self._state

    def reset(self) -> None:
        """Give the buffers the values that they had before the first call."""
        self.state().reset()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._state = None
