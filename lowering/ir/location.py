"""Where a node comes from: the lines of the model's source, and the module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class StackFrame(NamedTuple):
    """A line of the model's source that was on the stack, and its text where torch recorded it."""

    file: str
    line: int
    function: str
    source: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where a node comes from: the model's own stack trace, as torch recorded it, and the module's path."""

    stack_trace: str = ""
    module_path: str = ""

    @property
    def frames(self) -> tuple[StackFrame, ...]:
        """Outermost first; empty where nothing was recorded."""
        return parse_stack_trace(self.stack_trace)

    def __str__(self) -> str:
        """`file:line` of the innermost frame outside torch itself, or the empty string."""
        frames = self.frames
        own = [frame for frame in frames if "/torch/" not in f"/{frame.file}"] or frames
        return f"{own[-1].file}:{own[-1].line}" if own else ""


NO_LOCATION = Location()


def parse_stack_trace(trace: str) -> tuple[StackFrame, ...]:
    """Read torch's `File "f.py", line 3, in forward` blocks. Other lines are passed over."""
    frames: list[StackFrame] = []
    for line in trace.splitlines():
        text = line.strip()
        if text.startswith('File "'):
            file, _, rest = text[6:].partition('", line ')
            number, _, function = rest.partition(", in ")
            if number.isdecimal() and len(number) < 10:
                frames.append(StackFrame(file, int(number), function, ""))
        elif frames and not frames[-1].source:
            frames[-1] = frames[-1]._replace(source=text)
    return tuple(frames)
