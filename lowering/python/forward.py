"""The text of a forward: values named, single uses put into the expression that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lowering.ir.program import Output
from lowering.python.calls import Path
from lowering.python.expressions import ANY, Expression, Number, Part, Use, number_text
from lowering.python.identifiers import Names, identifier
from lowering.python.loops import Loop, folded
from lowering.python.steps import Body, Function, Step
from lowering.python.wrapping import WIDTH

# A longer expression has a line of its own.
_INNER = 64


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The surroundings of a body's text.

    `attribute`: the text of a weight of the module's own, or None. `length`: of the list at a path below, or
    None. `numbers`: by place, the attribute that a number is. `names`: of arguments, by value.
    """

    attribute: Callable[[str], str | None]
    access: Callable[[Path], str]
    length: Callable[[Path], int | None]
    numbers: dict[int, str]
    names: dict[str, str]


@dataclass(slots=True)
class _Writer:
    """Lines so far; `pending`: expressions that wait for the one line that reads them, in order."""

    around: Surroundings
    counts: Counter[str]
    scope: Names
    variables: dict[str, str]
    roles: dict[str, str]
    place: int = 0
    depth: int = 0
    opened: int = 0
    lines: list[str] = field(default_factory=list)
    pending: list[tuple[str, str, int, str]] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def region(self, step: Step) -> None:
        """Begin or end a block of lines."""
        self.flush()
        if step.opens:
            self.line(self.text(step.expression, WIDTH))
            self.depth += 1
            self.opened = len(self.lines)
        else:
            if len(self.lines) == self.opened:
                self.line("pass")
            self.depth -= 1

    def flush(self) -> None:
        for value, text, _, base in self.pending:
            self.variables[value] = self.scope.fresh(base)
            self.line(f"{self.variables[value]} = {text}")
        self.pending.clear()

    def base(self, step: Step, value: str) -> str:
        """A name for what a step gives, before it is made unique."""
        return self.roles.get(value, step.base)

    def text(self, expression: Expression, width: int) -> str:
        """The expression's text, with the pending ones that it reads in it where their order stays."""
        uses = [name for name in expression.uses() if name not in self.variables]
        waiting = [item[0] for item in self.pending]
        reads = [name for name in uses if name in waiting]
        inner = {item[0]: item for item in self.pending[len(waiting) - len(reads) :]}
        fits = waiting[len(waiting) - len(reads) :] == reads
        if fits and reads:
            text = self._rendered(expression, inner)
            if len(text) <= width:
                del self.pending[len(waiting) - len(reads) :]
                self.place += sum(1 for _ in expression.numbers())
                return text
        if reads:
            self.flush()
        text = self._rendered(expression, {})
        self.place += sum(1 for _ in expression.numbers())
        return text

    def _rendered(self, expression: Expression, inner: dict[str, tuple[str, str, int, str]]) -> str:
        texts: list[str] = []
        place = self.place
        for part in expression.parts:
            if isinstance(part, Number):
                texts.append(number_text(part, self.around.numbers.get(place)))
                place += 1
            elif isinstance(part, Use):
                if part.value in inner:
                    _, text, level, _ = inner[part.value]
                    texts.append(f"({text})" if level < part.level else text)
                else:
                    texts.append(self.read(part.value))
            else:
                texts.append(part)
        return "".join(texts)

    def read(self, value: str) -> str:
        """The text by which a value is read that has a name."""
        name = self.variables.get(value)
        own = self.around.attribute(value) if name is None else None
        return own if own is not None else self.variables[value]

    def step(self, step: Step) -> None:
        if step.opens or step.closes:
            self.region(step)
            return
        if step.function is not None:
            self.function(step, step.function)
            return
        outputs = step.outputs
        if len(outputs) == 1 and isinstance(outputs[0], str) and self.counts[outputs[0]] == 1:
            text = self.text(step.expression, _INNER)
            if len(text) <= _INNER:
                self.pending.append((outputs[0], text, step.expression.level, self.base(step, outputs[0])))
                return
        else:
            text = self.text(step.expression, WIDTH - 30)
        self.flush()
        target = self._target(step, outputs)
        self.line(f"{target} = {text}" if target else text)

    def function(self, step: Step, function: Function) -> None:
        """Define a function, which reads nothing but its arguments."""
        self.flush()
        name = self.scope.fresh(step.base)
        self.variables.update((value, name) for value in step.results())
        names = function.body.argument_names()
        self.line(f"def {name}({', '.join(names.values())}):")
        around = Surroundings(lambda _: None, lambda _: "", lambda _: None, {}, names)
        for line in forward_lines(function.body, function.returns, around):
            self.line(f"    {line}")

    def _target(self, step: Step, outputs: tuple[Output, ...]) -> str:
        if not any(self.counts[name] for name in step.results()):
            return ""
        if len(outputs) == 1 and isinstance(outputs[0], tuple):
            names = [self._name(step, output) for output in outputs[0]]
            return f"{names[0]}," if len(names) == 1 else ", ".join(names)
        return ", ".join(self._name(step, output) for output in outputs)

    def _name(self, step: Step, output: Output) -> str:
        if isinstance(output, tuple):
            if not any(item and self.counts[item] for item in output):
                return "_"
            return f"({', '.join(self._name(step, item) for item in output)})"
        if output is None or not self.counts[output]:
            return "_"
        self.variables[output] = self.scope.fresh(self.base(step, output))
        return self.variables[output]

    def loop(self, loop: Loop) -> None:
        first, last = loop.steps[0], loop.steps[-1]
        self.flush()
        results = list(last.results())
        variables: dict[int, str] = {}
        for argument, result in zip(first.arguments, loop.carried, strict=True):
            if result is None:
                continue
            known = self.variables.get(argument)
            if known is not None and self.counts[argument] == 1:
                variables[result] = known
            else:
                text = self.read(argument)
                variables[result] = self.scope.fresh(first.base)
                self.line(f"{variables[result]} = {text}")
        for result, name in enumerate(results):
            if result not in variables:
                variables[result] = self.scope.fresh(first.base) if self.counts[name] else "_"
            self.variables[name] = variables[result]
        given = (
            self.read(argument) if result is None else variables[result]
            for argument, result in zip(first.arguments, loop.carried, strict=True)
        )
        item = self.scope.fresh(_singular(loop.path))
        modules = f"self{self.around.access(loop.path)}"
        if loop.first or self.around.length(loop.path) != loop.last + 1:
            modules += f"[{loop.first or ''}:{loop.last + 1}]"
        self.line(f"for {item} in {modules}:")
        call = f"{item}({', '.join(given)})"
        target = ", ".join(variables[result] for result in range(len(results)))
        self.line(f"    {target} = {call}" if target else f"    {call}")


def _singular(path: Path) -> str:
    name = identifier(path[-1].lower(), "block") if path else "block"
    return name[:-1] if name.endswith("s") and len(name) > 2 else name


def forward_lines(body: Body, returns: Sequence[Part], around: Surroundings) -> list[str]:
    """The lines of a forward; `returns`: the parts of the returned expression."""
    counts = Counter(name for step in body.steps for name in step.expression.uses())
    counts.update(part.value for part in returns if isinstance(part, Use))
    scope = Names(around.names.values())
    variables = dict(around.names)
    writer = _Writer(around, counts, scope, variables, body.roles)
    for item in folded(body.steps, lambda path: around.length(path) is not None, lambda name: counts[name]):
        if isinstance(item, Loop):
            writer.loop(item)
        else:
            writer.step(item)
    if returns:
        text = writer.text(Expression(tuple(returns), ANY), WIDTH)
        writer.flush()
        writer.line(f"return {text}")
    else:
        writer.flush()
    return writer.lines


def tuple_of(values: Sequence[str]) -> Iterator[Part]:
    """The parts of a return of these values."""
    for index, value in enumerate(values):
        if index:
            yield ", "
        yield Use(value)
