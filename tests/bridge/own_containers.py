"""A package of somebody's that registers containers; the files in which they occur are read without it."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...] | None = None
    rest: Any = None


@dataclass
class Nameless:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...] | None = None
    rest: Any = None


class Box:
    def __init__(self, left: Any, right: Any, label: Any) -> None:
        self.left, self.right, self.label = left, right, label

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and (self.label, type(self)) == (other.label, type(other))


class LabelledBox(Box):
    pass


def boxed(cls: type[Box]) -> tuple[Any, Any, Any]:
    def with_keys(box: Box) -> Any:
        return [(pytree.GetAttrKey(name), getattr(box, name)) for name in ("left", "right")], box.label

    return lambda box: ([box.left, box.right], box.label), lambda items, label: cls(*items, label), with_keys


Point = namedtuple("Point", ["x", "y"])


class Typed(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


torch.export.register_dataclass(Output, serialized_type_name="own.Output")
torch.export.register_dataclass(Nameless)
flatten, unflatten, with_keys = boxed(Box)
pytree.register_pytree_node(Box, flatten, unflatten, flatten_with_keys_fn=with_keys)
flatten, unflatten, with_keys = boxed(LabelledBox)
pytree.register_pytree_node(
    LabelledBox,
    flatten,
    unflatten,
    flatten_with_keys_fn=with_keys,
    serialized_type_name="own.LabelledBox",
    to_dumpable_context=lambda label: {"label": label},
    from_dumpable_context=lambda context: context["label"],
)


class Echo(torch.nn.Module):
    """Takes and gives an `Output`."""

    def forward(self, given: Output) -> Output:
        return Output(given.logits.softmax(-1), (given.logits, given.logits + 1))
