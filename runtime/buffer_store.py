"""The values of the buffers that a program writes, as its calls find and leave them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from lowering.host.memory import private_copy, same_elements, write
from lowering.targets.target import Engine


class BufferStore:
    """Buffers by full name: each a tensor of ours in `host`, or an engine's handle in `handles`.

    A call reads the buffers, and a successful one replaces them all at once. Where nothing reads the old
    value any more, a call may write the new one into its memory. An engine does so with a donated argument,
    the host target by operators in place. So nobody else may have a view of that memory.

    `lock`: held by a call, and by all else that reads or replaces values. `uses_torch`: whether the last
    call's tensors were torch's. `bound`: the caller's tensors that some buffers lie in, between calls.
    """

    def __init__(self, host: dict[str, Any], engines: Mapping[type, Engine]) -> None:
        """`host`: the values of all buffers, nobody else's. `engines`: by the type of their handles."""
        self.lock = threading.Lock()
        self.uses_torch: bool | None = None
        self.host = host
        self.handles: dict[str, Any] = {}
        self.bound: dict[str, Any] = {}
        self._engines = engines

    def bind(self, tensors: Mapping[str, Any]) -> None:
        """Have buffers lie in these tensors of the caller's, with the values that these have."""
        self.bound = {**self.bound, **tensors}
        self.replace(tensors, {})

    def unbind(self) -> None:
        """Have all buffers lie in memory of their own again, with the values that they have."""
        self.host = {**self.host, **{name: private_copy(held) for name, held in self.bound.items()}}
        self.bound = {}

    def keep(
        self, names: Mapping[str, str], handles: Mapping[str, Any], overwritten: Mapping[str, str]
    ) -> None:
        """After a call that failed, take the values that now lie in the memory of donated buffers.

        `names`: for each buffer's full name, the value that carries it into the program.
        """
        of_value = {value: name for name, value in names.items()}
        for old, new in overwritten.items():
            if new in handles:
                self.host.pop(of_value[old], None)
                self.handles[of_value[old]] = handles[new]
        self._settle()

    def replace(self, host: Mapping[str, Any], handles: Mapping[str, Any]) -> None:
        """Take these values for their buffers; other buffers stay as they are."""
        kept_host = {name: v for name, v in self.host.items() if name not in handles}
        kept_handles = {name: v for name, v in self.handles.items() if name not in host}
        self.host, self.handles = {**kept_host, **host}, {**kept_handles, **handles}
        if self.bound:
            self._settle()

    def take(self, values: dict[str, Any]) -> None:
        """Take these values of all buffers, nobody else's."""
        self.host, self.handles = values, {}
        self._settle()

    def _settle(self) -> None:
        """Give the caller's tensors the values of their buffers, where these lie elsewhere now."""
        for name, tensor in self.bound.items():
            handle = self.handles.pop(name, None)
            value = self.host[name] if handle is None else self._engines[type(handle)].to_numpy(handle)
            if not same_elements(value, tensor):
                write(value, tensor)
            self.host[name] = tensor
