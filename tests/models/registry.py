"""The registry of models, which the tests, `python -m tests` and the slow suites read.

A builder under `@register_model` gives a module. Its weights and inputs are seeded here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import torch

from tests.models.model import Call, Input, Model, seeded

#: Each has a file of this package.
CATEGORIES = (
    "multi-input-output",
    "skip-connections",
    "shared-weights",
    "attention",
    "recurrent",
    "convolutional",
    "detection",
    "segmentation",
    "experts",
    "state-space",
    "diffusion",
    "graph",
    "audio",
    "dynamic",
    "control-flow",
    "stateful",
    "quantised",
)

# Arguments by position or by name: structures of `Input`s and of sizes, which are of float32 tensors.
Shapes = tuple[Any, ...] | Mapping[str, Any]
Builder = Callable[..., torch.nn.Module | Model]


@dataclass(frozen=True)
class Entry:
    """A registered model.

    `published`: the inputs at the published size; the builder is then told whether to build the small one.
    `calls`: the number of calls in a row, each with inputs of its own. `further`: inputs of more calls, which
    may have other sizes where `dynamic_shapes` says so. `apart`: why it is not one segment on StableHLO,
    with the engines of `apart_on`.
    """

    name: str
    builder: Builder
    input_shapes: Shapes
    categories: tuple[str, ...]
    description: str
    published: Shapes | None = None
    calls: int = 1
    further: tuple[Shapes, ...] = ()
    dynamic_shapes: Any = None
    apart: str = ""
    apart_on: tuple[str, ...] = ("xla", "iree")

    def build(self, small: bool = True) -> Model:
        """The model at its small or at its published size. Raises ValueError where there is no such size."""
        if not small and self.published is None:
            raise ValueError(f"the model {self.name} has no published size")
        torch.manual_seed(0)
        built = self.builder() if self.published is None else self.builder(small)
        if isinstance(built, Model):
            return built
        weighted = seeded(lambda: built)
        shapes = [self.input_shapes if small or self.published is None else self.published] * self.calls
        calls = [_drawn(given, seed) for seed, given in enumerate([*shapes, *self.further])]
        return Model(weighted, tuple(calls), self.dynamic_shapes)

    def inputs(self) -> str:
        """The inputs of a small model's first call, as text."""
        named = self.input_shapes.items() if isinstance(self.input_shapes, Mapping) else ()
        parts = [_text(item) for item in self.input_shapes] if not named else []
        return ", ".join([*parts, *(f"{name}: {_text(item)}" for name, item in named)])


_ENTRIES: dict[str, Entry] = {}


def register_model(
    name: str, input_shapes: Shapes, categories: tuple[str, ...], description: str, **more: Any
) -> Callable[[Builder], Builder]:
    """Register a builder of a module, or of a `Model` with calls of its own; `more`: of `Entry`."""
    unknown = [category for category in categories if category not in CATEGORIES]
    if unknown or not categories:
        raise ValueError(f"the model {name} has unknown categories: {unknown}")
    if name in _ENTRIES:
        raise ValueError(f"there are two models {name}")

    def register(builder: Builder) -> Builder:
        _ENTRIES[name] = Entry(name, builder, input_shapes, categories, description, **more)
        return builder

    return register


@cache
def models() -> Mapping[str, Entry]:
    """All registered models by name, in the order of the categories' files."""
    for category in CATEGORIES:
        import_module(f"tests.models.{category.replace('-', '_')}")
    return _ENTRIES


def published() -> list[str]:
    """Names of the models that have a published size."""
    return [name for name, entry in models().items() if entry.published is not None]


def dynamic() -> list[str]:
    """Names of the models whose sizes a call says."""
    return [name for name, entry in models().items() if entry.dynamic_shapes is not None]


def selected(names: Sequence[str], categories: Sequence[str]) -> list[str]:
    """The models of these names and categories, or all. Raises ValueError for one that is not known."""
    check_known("category", categories, CATEGORIES)
    check_known("model", names, models())
    return [
        name
        for name, entry in models().items()
        if not (names or categories) or name in names or any(c in categories for c in entry.categories)
    ]


def check_known(kind: str, words: Sequence[str], known: Iterable[str]) -> None:
    """Raise ValueError, in a sentence, for a word that is not known."""
    for word in words:
        if word not in known:
            raise ValueError(f"no {kind} is named {word!r}{_guess(word, known)}")


def _guess(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _drawn(shapes: Shapes, seed: int) -> Call:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(shapes, Mapping):
        return (), {name: _tensors(item, generator) for name, item in shapes.items()}
    return tuple(_tensors(item, generator) for item in shapes), {}


def _tensors(item: Any, generator: torch.Generator) -> Any:
    """Drawn tensors in place of inputs, in lists, tuples and dictionaries."""
    if _is_sizes(item):
        return Input(item).draw(generator)
    if isinstance(item, Input):
        return item.draw(generator)
    if isinstance(item, dict):
        return {name: _tensors(value, generator) for name, value in item.items()}
    if isinstance(item, list | tuple):
        return type(item)(_tensors(value, generator) for value in item)
    return item


def _is_sizes(item: Any) -> bool:
    return isinstance(item, tuple) and all(type(size) is int for size in item)


def _text(item: Any) -> str:
    if _is_sizes(item):
        return str(Input(item))
    if isinstance(item, dict):
        return f"{{{', '.join(f'{name}: {_text(value)}' for name, value in item.items())}}}"
    if isinstance(item, list | tuple):
        return f"({', '.join(map(_text, item))})"
    return str(Input(tuple(item.shape), item.dtype)) if isinstance(item, torch.Tensor) else str(item)
