"""torch's graph of a decomposition, as a graph of the IR of operators with rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.ir.custom_operators import schema_of
from lowering.ir.facts.effects import is_random
from lowering.ir.program import Arg, Argument, Graph, Node, Ref
from lowering.ir.types import Device, DType, Layout, MemoryFormat, TensorType, ValueType
from lowering.stablehlo.errors import Unsupported
from lowering.stablehlo.registry import rule_for
from lowering.stablehlo.value import numpy_dtype

if TYPE_CHECKING:
    import torch
    from torch import fx

NO_WAY = "no rule and no decomposition"
LAPACK = "it takes LAPACK, which no portable module can call"
RANDOM = "random: its numbers come from torch's generator, so that seeds mean what they mean in eager"

OF_LAPACK = frozenset({"aten.linalg_eig.default", "aten.linalg_ldl_factor_ex.default"})


@dataclass(frozen=True, slots=True)
class Traced:
    """A decomposition: its graph, the types of its results, and the tensors that it makes of numbers."""

    graph: Graph
    outputs: tuple[TensorType, ...]
    constants: tuple[np.ndarray, ...]


class Translation:
    """From torch's graph of the decomposition of `target` to ours. Raises Unsupported."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.values: dict[str, ValueType] = {}
        self.nodes: list[Node] = []
        self.inputs: list[Ref] = []
        self.constants: list[tuple[Ref, np.ndarray]] = []
        # Names of the results of nodes that return several, by node name.
        self.several: dict[str, tuple[str | None, ...]] = {}
        self.aliases: dict[str, Ref] = {}

    def run(self, module: fx.GraphModule) -> Traced:
        """Translate the whole graph, once."""
        from torch.utils._pytree import tree_leaves

        outputs: tuple[Ref, ...] = ()
        for node in module.graph.nodes:
            if node.op == "placeholder":
                self.values[node.name] = _type(node.meta["val"])
                self.inputs.append(Ref(node.name))
            elif node.op == "get_attr":
                self._constant(node.name, getattr(module, node.target))
            elif node.op == "output":
                outputs = tuple(self._ref(item) for item in tree_leaves(node.args[0]))
            elif getattr(node.target, "__name__", "") == "getitem":
                self._getitem(node)
            else:
                self._call(node)
        types = [self.values[ref.name] for ref in outputs]
        tensors = tuple(type_ for type_ in types if isinstance(type_, TensorType))
        refs = (*self.inputs, *(ref for ref, _ in self.constants))
        graph = Graph(refs, outputs, tuple(self.nodes), self.values, self.target)
        return Traced(graph, tensors, tuple(data for _, data in self.constants))

    def _constant(self, name: str, tensor: torch.Tensor) -> None:
        """A tensor that the decomposition makes from Python numbers."""
        import torch

        type_ = self.values[name] = _type(tensor)
        data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        self.constants.append((Ref(name), data.view(numpy_dtype(type_.dtype)).reshape(tuple(tensor.shape))))

    def _getitem(self, node: fx.Node) -> None:
        args: tuple[Any, ...] = node.args
        source, index = args
        name = self.several[source.name][index]
        if name is None:
            raise Unsupported(f"torch's own decomposition of {self.target} reads what is not computed")
        self.aliases[node.name] = Ref(name)

    def _call(self, node: fx.Node) -> None:
        target = str(node.target)
        self._refuse(node, target)
        found = schema_of(target)
        names = [parameter.name for parameter in found.parameters] if found else []
        args = [Argument(name, self._arg(value)) for name, value in zip(names, node.args, strict=False)]
        args += [Argument(name, self._arg(value), keyword=True) for name, value in node.kwargs.items()]
        self.nodes.append(Node(node.name, target, tuple(args), self._results(node)))

    def _refuse(self, node: fx.Node, target: str) -> None:
        """Say no to what has no rule, now that torch has decomposed as far as it can."""
        tags = {tag.name for tag in getattr(node.target, "tags", ())}
        if target == self.target:
            raise Unsupported(NO_WAY)
        if rule_for(target) is not None:
            return
        if is_random(tags):
            raise Unsupported(RANDOM)
        why = f": {LAPACK}" if target in OF_LAPACK else ""
        raise Unsupported(f"torch decomposes it into {target}, which has no rule{why}")

    def _results(self, node: fx.Node) -> tuple[Any, ...]:
        target: Any = node.target
        declared = target._schema.returns
        if not declared:
            return ()
        made: Any = node.meta["val"]
        if not isinstance(made, list | tuple):
            self.values[node.name] = _type(made)
            return (node.name,)
        names: list[str | None] = []
        for index, item in enumerate(made):
            if item is None:
                names.append(None)
                continue
            names.append(f"{node.name}_{index}")
            self.values[f"{node.name}_{index}"] = _type(item)
        self.several[node.name] = tuple(names)
        # One declared result that is a list, or several declared results.
        return (tuple(names),) if len(declared) == 1 else tuple(names)

    def _ref(self, node: Any) -> Ref:
        if not hasattr(node, "meta"):
            raise Unsupported(f"torch's own decomposition of {self.target} returns {node!r}")
        return self.aliases.get(node.name, Ref(node.name))

    def _arg(self, value: Any) -> Arg:
        import torch

        match value:
            case list() | tuple():
                return tuple(self._arg(item) for item in value)
            case torch.dtype() | torch.device() | torch.layout() | torch.memory_format():
                return constant(value)
            case None | bool() | int() | float() | complex() | str():
                return value
        return self._ref(value)


def constant(value: torch.dtype | torch.device | torch.layout | torch.memory_format) -> Arg:
    """Its counterpart in the IR."""
    import torch

    match value:
        case torch.device():
            return Device(value.type, value.index)
        case torch.dtype():
            return DType(str(value).removeprefix("torch."))
        case torch.layout():
            return Layout(str(value).removeprefix("torch."))
    return MemoryFormat(str(value).removeprefix("torch."))


def _type(tensor: torch.Tensor) -> TensorType:
    dtype = DType(str(tensor.dtype).removeprefix("torch."))
    return TensorType(dtype, tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))
