"""Several programs over one state: methods, called by name, and the sessions over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from bridge.compiled.compiled import Compiled
from bridge.compiled.session import Session
from bridge.compiled.state import State, StateSpec
from lowering.ir.errors import did_you_mean
from lowering.ir.weights import Weights


class MethodSession(Mapping[str, Session]):
    """Methods over one state: `session.decode(...)`, or `session["decode"](...)`.

    Calls of several sessions run side by side, those of one in turn. As a context manager it lets go of its
    state at the end.
    """

    def __init__(self, programs: Mapping[str, Compiled], state: State) -> None:
        self._methods = {name: Session(program.executor, state) for name, program in programs.items()}

    def __getitem__(self, name: str) -> Session:
        """A method by its name. Raises KeyError for any other name."""
        return self._methods[name]

    def __getattr__(self, name: str) -> Session:
        """A method by its name. Raises AttributeError for any other name."""
        if name.startswith("_") or name not in self._methods:
            known = list(self._methods)
            near = did_you_mean(name, known)
            raise AttributeError(f"there is no method {name!r}; there are {', '.join(known)}{near}")
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def state(self) -> State:
        """The buffers that the methods write, not a copy. Raises StateRefused once the session has ended."""
        return next(iter(self._methods.values())).state()

    def reset(self) -> None:
        """Give the buffers the values that they had before the first call."""
        self.state().reset()

    def __enter__(self) -> MethodSession:
        return self

    def __exit__(self, *_: object) -> None:
        for method in self._methods.values():
            method.__exit__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._methods)}>"


class CompiledMethods(MethodSession):
    """The methods of a model, compiled: over a state of their own, and with sessions beside it.

    `programs`: by method; functional, and in which one name stands for one thing. `weights`: of all.
    `by_method(source, cast)`: reads other weights, and gives each method's; it raises for what does not fit.
    """

    def __init__(
        self,
        programs: Mapping[str, Compiled],
        weights: Weights,
        by_method: Callable[[Any, bool], Mapping[str, Weights]],
    ) -> None:
        self.programs = dict(programs)
        self._by_method = by_method
        specs = [program.state().spec for program in self.programs.values()]
        names = tuple(dict.fromkeys(name for spec in specs for name in spec.names))
        tied = {name: other for spec in specs for name, other in spec.tied.items() if name not in names}
        state = State(StateSpec(names, weights.only(names), tied, files=specs[0].files))
        for program in self.programs.values():
            program.share_state(state)
        super().__init__(self.programs, state)

    def session(self, state: State | None = None) -> MethodSession:
        """The methods over a state of their own: the one given, or a new one of the first values.

        Raises StateRefused for a state of other programs.
        """
        if state is not None:
            self.state().require(state)
        return MethodSession(self.programs, State(self.state().spec) if state is None else state)

    def set_weights(self, source: Any, *, cast_weights: bool = False) -> None:
        """Give weights of the methods other values, all or some; see `Compiled.set_weights`.

        A call has all old values or all new ones of its method. Once all methods are loaded, they begin with
        theirs one right after the other. Where an engine cannot load a method's, nothing has changed.
        """
        given = self._by_method(source, cast_weights)
        with ExitStack() as loading:
            begin = [
                loading.enter_context(self.programs[name].loaded_weights(weights, cast_weights=False))
                for name, weights in given.items()
                if weights.views
            ]
            for take in begin:
                take()

    @property
    def buffers(self) -> dict[str, Any]:
        """The current values of the buffers that the methods write, by full name; copies."""
        return self.state().read()

    def __exit__(self, *_: object) -> None:
        """The methods stay."""
