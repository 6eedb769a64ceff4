"""Values that IREE would overwrite: arguments, and what else is read.

IREE 3.13 updates a buffer in place where the program does not read its value again: a scatter, a sort, an
inserted slice or a loop that starts from it. Two faults come of that. An argument's buffer is the caller's
(its issue 16168). And where operations are gathered into waves, the update may come before a reader that the
program has before it: the scheduler keeps the order of results, and a reader and an update have none
(docs/decisions/0025). So what is written to is first copied, by an operation that IREE can neither fold away
nor see through. A donated argument that nothing else reads is left to IREE, which writes in place where that
is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lowering.ir.errors import EngineError

_MAIN = re.compile(r"^  util\.func public @main\((?P<arguments>.*)\) -> .*\{(?: loc\(.*\))?$")
_ARGUMENT = re.compile(r"(?P<name>%[\w$.-]+): (?P<type>tensor<[^{}]*?>)(?=,|$| \{| loc\()")
_VALUE = r"%[\w$.#-]+"
_TENSOR = r"tensor<(?:[^<>]|<[^<>]*>)*>"
# What has the elements of its operand, and perhaps its memory.
_SAME = re.compile(
    rf"^ *(?P<result>{_VALUE}) = tensor\.(?:collapse_shape|expand_shape|cast|reshape|bitcast|extract_slice) "
    rf"(?P<operand>{_VALUE})"
)
_DEFINITION = re.compile(rf"^ *(?P<result>{_VALUE})(?::\d+)? = ")
# How the lines of operations begin that are in no loop.
_OUTERMOST = ("    %", "    }")
# What is made anew for each that reads it.
_FRESH = re.compile(rf"^ *(?P<result>{_VALUE}) = (?:arith\.constant|tensor\.(?:empty|splat)|linalg\.fill) ?")
# Where a tensor is given to be written to, or to a loop that may; and the types of what is given.
_WRITES = (
    re.compile(r"\bouts\((?P<values>[^:)]*) : (?P<types>.*?)\)(?= |$)"),
    re.compile(
        rf"\btensor\.(?:insert|insert_slice) {_VALUE} into (?P<values>{_VALUE})"
        rf".* (?P<types>{_TENSOR})(?= loc|$)"
    ),
    re.compile(r"\bscf\.while(?:\.\S+)? ?\((?P<values>[^)]*)\) : \((?P<types>.*?)\) -> "),
    re.compile(r"\biter_args\((?P<values>[^)]*)\) -> \((?P<types>.*?)\)(?= |$)"),
)


@dataclass(frozen=True)
class _Write:
    """A value of a type that the operation of a line is given to write to."""

    line: int
    value: str
    type: str


def protect_values(text: str, name: str, donated: Collection[int] = ()) -> str:
    """The converted module with every value copied that IREE would overwrite though it must not.

    `donated`: places of the arguments that may be overwritten. Raises EngineError where IREE's text is not of
    the form this relies on.
    """
    lines = text.split("\n")
    at = next((i for i, line in enumerate(lines) if _MAIN.match(line)), None)
    if at is None:
        raise EngineError(f"iree {name}: cannot protect the arguments: the converted module has no @main")
    arguments = [found[0] for found in _ARGUMENT.findall(lines[at].split("@main(", 1)[1].split(") -> ")[0])]
    kept = {argument for place, argument in enumerate(arguments) if place not in donated}
    body = lines[at + 1 :]
    writes = _to_protect(body, kept)
    if not writes:
        return text
    protected: list[str] = []
    done = 0
    for index, write in enumerate(writes):
        protected += [*body[done : write.line], *_copy(index, write.value, write.type)]
        done = write.line
        body[done] = _renamed(body[done], write.value, f"%bridge_copy_{index}")
    protected += body[done:]
    # Each copy has a condition of its own: the compiler makes one of two equal copies, which both write to.
    opaque = [
        f"    %bridge_opaque_{index} = util.optimization_barrier %bridge_yes : i1"
        for index in range(len(writes))
    ]
    return "\n".join([*lines[: at + 1], "    %bridge_yes = arith.constant true", *opaque, *protected])


def _to_protect(body: list[str], kept: Collection[str]) -> list[_Write]:
    """The writes to arguments of `kept`, and to what else is read.

    Values of a loop's own are left out: their names come again in the next loop.
    """
    root: dict[str, str] = {}
    fresh: set[str] = set()
    inner: set[str] = set()
    uses: Counter[str] = Counter()
    writes: list[_Write] = []
    for at, line in enumerate(body):
        definition = _DEFINITION.match(line)
        nested = not line.startswith(_OUTERMOST)
        if nested:
            inner.update(re.findall(rf"({_VALUE}): tensor<", line))
        if definition is not None and nested:
            inner.add(definition["result"])
        same, made = _SAME.match(line), _FRESH.match(line)
        if same is not None:
            root[same["result"]] = root.get(same["operand"], same["operand"])
            continue
        if made is not None:
            fresh.add(made["result"])
        read = line if definition is None else line[definition.end() :]
        # A loop that reads what is outside of it may do so many times.
        for value in re.findall(_VALUE, read):
            uses[root.get(value) or value] += 1 + nested
        writes += _writes(at, line)
    return [
        write
        for write in writes
        if (origin := root.get(write.value, write.value)) in kept
        or (origin not in fresh and origin not in inner and uses[origin] > 1)
    ]


def _writes(at: int, line: str) -> Iterator[_Write]:
    for pattern in _WRITES:
        for found in pattern.finditer(line):
            # Of `%inner = %outer`, what a loop starts from is the latter.
            values = [item.split("=")[-1].strip() for item in found["values"].split(",")]
            types = re.split(r", (?=[a-z!])", found["types"])
            for value, type_ in zip(values, types, strict=True):
                if type_.startswith("tensor<"):
                    yield _Write(at, value, type_)


def _renamed(line: str, value: str, name: str) -> str:
    """The line with another value to write to; what it reads stays."""
    start = min(found.start("values") for pattern in _WRITES if (found := pattern.search(line)))
    return line[:start] + re.sub(rf"{re.escape(value)}(?![\w$.#-])", name, line[start:])


def _copy(index: int, value: str, type_: str) -> list[str]:
    """`%bridge_copy_<index>`: the value in memory of its own."""
    *sizes, element = (
        type_.removeprefix("tensor<").removesuffix(">").split("x")
        if "complex" not in type_
        else (_complex_parts(type_))
    )
    axes = ", ".join(f"d{axis}" for axis in range(len(sizes)))
    identity = f"affine_map<({axes}) -> ({axes})>"
    iterators = ", ".join('"parallel"' for _ in sizes)
    return [
        f"    %bridge_zero_{index} = {_zero(element)}",
        f"    %bridge_empty_{index} = tensor.empty() : {type_}",
        f"    %bridge_copy_{index} = linalg.generic {{indexing_maps = [{identity}, {identity}], "
        f"iterator_types = [{iterators}]}} ins({value} : {type_}) "
        f"outs(%bridge_empty_{index} : {type_}) {{",
        f"    ^bb0(%in: {element}, %out: {element}):",
        f"      %bridge_same = arith.select %bridge_opaque_{index}, %in, %bridge_zero_{index} : {element}",
        f"      linalg.yield %bridge_same : {element}",
        f"    }} -> {type_}",
    ]


def _complex_parts(type_: str) -> list[str]:
    inner = type_.removeprefix("tensor<").removesuffix(">")
    sizes, _, element = inner.rpartition("xcomplex")
    return [*(sizes.split("x") if sizes else []), f"complex{element}" if sizes else inner]


def _zero(element: str) -> str:
    if element.startswith("complex"):
        part = element.removeprefix("complex<").removesuffix(">")
        return f"complex.constant [0.0 : {part}, 0.0 : {part}] : {element}"
    return f"arith.constant {'0' if element.startswith('i') else '0.0'} : {element}"
