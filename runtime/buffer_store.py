"""The values of the buffers that a program writes, as its calls find and leave them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any


class BufferStore:
    """Buffers by full name: each a tensor of ours in `host`, or an engine's handle in `handles`.

    A call reads the buffers, and a successful one replaces them all at once. Where nothing reads the old
    value any more, a call may write the new one into its memory. An engine does so with a donated argument,
    the host target by operators in place. So nobody else may have a view of that memory.

    `lock`: held by a call, and by all else that reads or replaces values. `uses_torch`: whether the last
    call's tensors were torch's.
    """

    def __init__(self, host: dict[str, Any]) -> None:
        """`host`: the values of all buffers, nobody else's."""
        self.lock = threading.Lock()
        self.uses_torch: bool | None = None
        self.host = host
        self.handles: dict[str, Any] = {}

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

    def replace(self, host: Mapping[str, Any], handles: Mapping[str, Any]) -> None:
        """Take these values for their buffers; other buffers stay as they are."""
        kept_host = {name: v for name, v in self.host.items() if name not in handles}
        kept_handles = {name: v for name, v in self.handles.items() if name not in host}
        self.host, self.handles = {**kept_host, **host}, {**kept_handles, **handles}

    def take(self, values: dict[str, Any]) -> None:
        """Take these values of all buffers, nobody else's."""
        self.host, self.handles = values, {}
