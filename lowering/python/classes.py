"""The classes of a program's modules: modules that are the same but for numbers share one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

from lowering.ir.dims import row_major
from lowering.ir.program import Program
from lowering.ir.types import TensorType
from lowering.python.calls import Call, Module, Path, Weight, is_index, module_tree
from lowering.python.expressions import Number, literal, quoted
from lowering.python.identifiers import Names, class_name, identifier, is_identifier
from lowering.python.layers import Layer, layer_of
from lowering.python.recurrent import recurrent_layer
from lowering.python.steps import Body, Weights, body_key, body_of, implied_nodes

# The parameter that a number is, by its place; None where it is just the number.
Says = Callable[[int], "str | None"]


@dataclass(slots=True, eq=False)
class Class:
    """A class of modules. `rows`: the numbers of each module of it, which all have the same places."""

    name: str
    module: Module
    children: dict[str, Made]
    body: Body | None
    numbers: tuple[Number, ...]
    rows: list[tuple[object, ...]] = field(default_factory=list)
    # By place, the parameter that it is; filled once all modules are known.
    parameters: dict[int, str] = field(default_factory=dict)

    def settle(self) -> None:
        """Make a parameter of each number that differs between the modules; equal ones share theirs."""
        names = Names()
        by_column: dict[tuple[str, ...], str] = {}
        for place, number in enumerate(self.numbers):
            # As text: 1 and 1.0 are two numbers, and so are 0.0 and -0.0.
            column = tuple(repr(row[place]) for row in self.rows)
            if len(set(column)) > 1:
                if column not in by_column:
                    by_column[column] = names.fresh(identifier(number.name))
                self.parameters[place] = by_column[column]

    def signature(self) -> dict[str, int]:
        """The parameters in order, each with one of its places."""
        places: dict[str, int] = {}
        for place, name in self.parameters.items():
            places.setdefault(name, place)
        return places


@dataclass(frozen=True, slots=True)
class Instance:
    """A module of a class of the source."""

    cls: Class
    numbers: tuple[Number, ...]

    def key(self) -> Hashable:
        return id(self.cls)

    def text(self, says: Says) -> str:
        places = self.cls.signature().values()
        values = (says(place) or number_text(self.numbers[place]) for place in places)
        return f"{self.cls.name}({', '.join(values)})"


@dataclass(frozen=True, slots=True)
class Built:
    """A module of torch.nn."""

    layer: Layer

    @property
    def numbers(self) -> tuple[Number, ...]:
        return self.layer.numbers()

    def key(self) -> Hashable:
        return self.layer.key()

    def text(self, says: Says) -> str:
        return self.layer.text(says)


@dataclass(frozen=True, slots=True)
class Several:
    """An `nn.Sequential` or an `nn.ModuleList`."""

    callee: str
    items: tuple[Made, ...]

    @property
    def numbers(self) -> tuple[Number, ...]:
        return tuple(number for item in self.items for number in item.numbers)

    def key(self) -> Hashable:
        return self.callee, tuple(item.key() for item in self.items)

    def texts(self, says: Says) -> list[str]:
        """The text of each item."""
        texts: list[str] = []
        offset = 0
        for item in self.items:
            texts.append(item.text(lambda place, offset=offset: says(offset + place)))
            offset += len(item.numbers)
        return texts

    def runs(self, says: Says) -> list[str]:
        """The text of the items, equal neighbours as one."""
        runs: list[tuple[str, int]] = []
        for text in self.texts(says):
            if runs and runs[-1][0] == text:
                runs[-1] = (text, runs[-1][1] + 1)
            else:
                runs.append((text, 1))
        return [t if count == 1 else f"*[{t} for _ in range({count})]" for t, count in runs]

    def text(self, says: Says) -> str:
        runs = self.runs(says)
        text = ", ".join(runs)
        if self.callee == "nn.Sequential":
            return f"{self.callee}({text})"
        # A list of one run is that run.
        return f"{self.callee}({text[1:] if len(runs) == 1 and text[0] == '*' else f'[{text}]'})"


Made = Instance | Built | Several


def number_text(number: Number) -> str:
    """A number as it stands in a call."""
    return literal(number.value)


class Modules:
    """Every module of a program, made."""

    def __init__(self, program: Program, name: str) -> None:
        self.root = module_tree(program)
        self.classes: list[Class] = []
        self.made: dict[Path, Made] = {}
        self.weights: Weights = {
            weight.value: (module.path, weight.name)
            for module in self.root.below()
            for weight in module.weights
        }
        self._values = program.graph.values
        self._implied = implied_nodes(program.graph)
        self._by_key: dict[Hashable, Class] = {}
        self._names = Names(between="")
        self.name = self._names.fresh(name)
        for module in self.root.below():
            self.made[module.path] = self._make(module)
        for cls in self.classes:
            cls.settle()

    def access(self, path: Path) -> str:
        """The text by which a module is reached from the root: `.encoder.layer[0]`."""
        text = ""
        for depth, name in enumerate(path):
            if isinstance(self.made.get(path[:depth]), Several):
                text += f"[{name}]"
            elif is_identifier(name):
                text += f".{name}"
            else:
                text += f".get_submodule({quoted(name)})"
        return text

    def _type(self, value: str) -> TensorType | None:
        type_ = self._values.get(value)
        return type_ if isinstance(type_, TensorType) else None

    def _make(self, module: Module) -> Made:
        if module.path and module.calls:
            layer = layer_of(module, self._type) or recurrent_layer(module, self._type)
            if layer is not None:
                return Built(layer)
        items = self._listed(module)
        if items is not None:
            if module.calls and all(map(_is_chain, module.calls)) and _all_called(module):
                return Several("nn.Sequential", items)
            if all(isinstance(item, Call) for call in module.calls for item in call.items):
                for call in module.calls:
                    call.dissolve()
                return Several("nn.ModuleList", items)
        return self._instance(module)

    def _listed(self, module: Module) -> tuple[Made, ...] | None:
        """The items of a module that is a list; gaps are filled."""
        names = list(module.children)
        if not names or not module.path or module.weights or not all(map(is_index, names)):
            return None
        count = int(names[-1]) + 1
        if count > 2 * len(names) + 4:
            return None
        idle = Built(Layer("nn.Identity"))
        return tuple(self.made[(*module.path, str(i))] if str(i) in names else idle for i in range(count))

    def _instance(self, module: Module) -> Instance:
        bodies = [self._body(call) for call in module.calls]
        keys = {body_key(body, self.weights, module.path) for body in bodies}
        if len(keys) > 1 or len({tuple(repr(n.value) for n in body.numbers()) for body in bodies}) > 1:
            for call in module.calls:
                call.dissolve()
            bodies, keys = [], set()
        for call, body in zip(module.calls, bodies, strict=bool(bodies)):
            call.arguments = list(body.arguments)
        body = bodies[0] if bodies else None
        children = {name: self.made[child.path] for name, child in module.children.items()}
        numbers = (
            *(number for weight in module.weights for number in weight_numbers(weight)),
            *(number for child in children.values() for number in child.numbers),
            *(body.numbers() if body is not None else ()),
        )
        key = (
            tuple(map(_weight_key, module.weights)),
            tuple((name, child.key()) for name, child in children.items()),
            tuple(keys),
            not module.path,
        )
        cls = self._by_key.get(key)
        if cls is None:
            cls = self._by_key[key] = Class(self._named(module), module, children, body, numbers)
            self.classes.append(cls)
        cls.rows.append(tuple(number.value for number in numbers))
        return Instance(cls, numbers)

    def _body(self, call: Call) -> Body:
        return body_of(call, self.weights, self._values, self._implied, self.access, self._taken)

    def _taken(self, path: Path) -> Sequence[str]:
        made = self.made.get(path)
        cls = made.cls if isinstance(made, Instance) else None
        return () if cls is None or cls.body is None else tuple(cls.body.argument_names().values())

    def _named(self, module: Module) -> str:
        if not module.path:
            return self.name
        words = [name for name in module.path if not is_index(name)]
        if words and is_index(module.path[-1]) and len(words[-1]) > 2:
            words[-1] = words[-1].removesuffix("s")
        return self._names.first(
            [class_name("_".join(words[-count:])) for count in range(1, len(words) + 1)] or ["Block"]
        )


def weight_numbers(weight: Weight) -> tuple[Number, ...]:
    """The sizes of a weight, as numbers that may differ."""
    return tuple(Number("size", size) for size in weight.type.sizes if isinstance(size, int))


def _weight_key(weight: Weight) -> Hashable:
    type_ = weight.type
    # Where they are not row-major, strides are numbers that nothing names.
    strides = None if type_.strides == row_major(type_.sizes) else (type_.sizes, type_.strides)
    return (
        weight.name,
        weight.kind,
        weight.persistent,
        replace(type_, sizes=(), strides=()),
        type_.rank,
        strides,
    )


def _is_chain(call: Call) -> bool:
    """Whether the items of a list are called in order, each with the last one's only result."""
    values: Sequence[str] = call.arguments
    last = -1
    for item in call.items:
        if (
            not isinstance(item, Call)
            or item.outputs is not None
            or len(item.module.path) != len(call.module.path) + 1
        ):
            return False
        if len(values) != 1 or list(item.arguments) != list(values) or int(item.module.path[-1]) <= last:
            return False
        values, last = item.results, int(item.module.path[-1])
    return len(values) == 1 and list(values) == list(call.results)


def _all_called(module: Module) -> bool:
    return all(len(call.items) == len(module.children) for call in module.calls)
