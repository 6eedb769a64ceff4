"""Operators with a kernel of the user's, beside those of torch: called like these, by their schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from lowering.host.tensors import dtype_of
from lowering.ir.custom_operators import declared
from lowering.ir.facts.flops import sizes_of
from lowering.ir.program import Node
from lowering.ir.types import TensorType, ValueType
from lowering.targets.diagnostics import first_line
from lowering.targets.errors import ExecutionError, UnknownOperator
from lowering.targets.kernels import Kernel, kernel_for
from lowering.targets.target import HOST_DEVICE

Read = Callable[[Any, Any], Any]


class KernelOperator:
    """An overload as torch's own are: it has a schema, and is called with arguments as torch takes them."""

    tags: frozenset[Any] = frozenset()

    def __init__(self, target: str, schema: Any, kernel: Kernel | None = None) -> None:
        self.target = target
        self._schema = schema
        self._kernel = kernel
        self._names = [argument.name for argument in schema.arguments]
        self.defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}

    def __str__(self) -> str:
        return self.target

    def made(self, node: Node, constants: Mapping[str, Any]) -> KernelOperator:
        """The operator with the kernel of a node. Raises ExecutionError where the user's function fails."""
        factory = kernel_for(self.target)
        assert factory is not None, "an operator of this kind has one"
        where = f" ({node.location})" if str(node.location) else ""
        failed = f"node {node.name}{where}: the kernel of {self.target} cannot be made"
        try:
            kernel = factory(node, constants, HOST_DEVICE)
        except Exception as error:  # the user's own code runs, and may raise anything
            raise ExecutionError(f"{failed}: {type(error).__name__}: {first_line(error)}") from error
        if not callable(kernel):
            raise ExecutionError(f"{failed}: its function gives a {type(kernel).__name__}, not a function")
        return KernelOperator(self.target, self._schema, kernel)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kernel = self._kernel or self.made(Node(self.target, self.target, (), ()), {})._kernel
        assert kernel is not None, "it was made"
        return kernel(**{**self.defaults, **dict(zip(self._names, args, strict=False)), **kwargs})


def kernel_operator(target: str, registered: Any) -> KernelOperator:
    """An overload that has a kernel, by its declared schema, else by that of torch's own registration.

    Raises UnknownOperator for one that has neither.
    """
    text = declared(target)
    if text is not None:
        namespace, name, overload = target.split(".")
        overload = "" if overload == "default" else f".{overload}"
        return KernelOperator(target, torch._C.parse_schema(f"{namespace}::{name}{overload}{text}"))
    if registered is None:
        raise UnknownOperator(
            f"{target} has a kernel, and torch does not know it: register it with its schema"
        )
    return KernelOperator(target, registered._schema)


def with_checked_results(node: Node, values: Mapping[str, ValueType], read: Read, returns: int) -> Read:
    """`read`, whose results have to be of the program's dtypes and sizes: engines look at neither again."""
    types = [values.get(output) if isinstance(output, str) else None for output in node.outputs[:returns]]

    def checked(env: Any, symbols: Any) -> Any:
        results = read(env, symbols)
        several = results if isinstance(results, tuple | list) else (results,)
        for type_, result in zip(types, several, strict=False):
            if isinstance(type_, TensorType):
                _check(node.target, result, type_, sizes_of(type_, symbols))
        return results

    return checked


def _check(target: str, result: Any, type_: TensorType, sizes: Any) -> None:
    if not isinstance(result, torch.Tensor):
        raise TypeError(f"the kernel of {target} gave a {type(result).__name__}, not a tensor")
    fits = result.is_cpu and dtype_of(result) is type_.dtype and result.dim() == type_.rank
    if not fits or (sizes is not None and list(result.shape) != list(sizes)):
        wanted = f"{type_.dtype} {list(sizes) if sizes is not None else f'of rank {type_.rank}'} on the cpu"
        given = f"{str(result.dtype).removeprefix('torch.')} {list(result.shape)} on the {result.device}"
        raise TypeError(f"the kernel of {target} gave {given}, and the program says {wanted}")
