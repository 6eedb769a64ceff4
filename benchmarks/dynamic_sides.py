"""The sides of `benchmarks.dynamic`: each makes a callable of a model whose sizes a call says.

A side is built once for all sizes; `static` is built again for each, as Bridge does for sizes that are hot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

import bridge
from benchmarks.dynamic_cases import Sizes, Varying
from benchmarks.sessions import onnx_session, openvino_model
from lowering.host.weights import materialise
from lowering.ir.dynamic_module import DynamicModule
from lowering.ir.symbols import Symbol
from lowering.stablehlo.passes.parsed import rewritten
from lowering.stablehlo.refine import refined
from lowering.targets.iree.dynamic import DynamicExecutable
from lowering.targets.iree.engine import Iree
from lowering.targets.iree.executable import Handle
from lowering.targets.target import CPU

Run = Callable[..., torch.Tensor]
#: Makes what is called at some sizes.
AtSizes = Callable[[Sizes], Run]


class VaryingSubject:
    """A model to build sides of. What several of them start from is made once, when the first asks for it.

    `folder`: for the files of sides that need some.
    """

    def __init__(self, model: Varying, folder: Path) -> None:
        self.model = model
        self.folder = folder

    @cached_property
    def exported(self) -> torch.export.ExportedProgram:
        return self.model.export()

    @cached_property
    def lowered(self) -> bridge.Lowered:
        return bridge.lower(self.exported)

    @cached_property
    def module(self) -> DynamicModule:
        return self.lowered.dynamic_module()

    @cached_property
    def weights(self) -> Mapping[str, np.ndarray]:
        named = [port.weight for port in self.module.inputs if port.weight is not None]
        return materialise(self.lowered.weights, named)

    @cached_property
    def dynamic(self) -> DynamicExecutable:
        """IREE's binary for all sizes."""
        engine = Iree()
        binary = engine.compile_dynamic(self.module, CPU)
        return engine.load_dynamic(binary, self.module, CPU, self.weights)

    def symbols(self, sizes: Sizes) -> dict[str, int]:
        """The sizes of a call by symbol."""
        ports = [port for port in self.module.inputs if port.weight is None and port.symbol is None]
        pairs = zip(ports, self.model.inputs(sizes), strict=True)
        return {
            size.name: int(number)
            for port, tensor in pairs
            for size, number in zip(port.sizes, tensor.shape, strict=True)
            if isinstance(size, Symbol)
        }


def _called(executable: Callable[[Sequence[Handle]], list[Handle]]) -> Run:
    engine = Iree()

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        result, *_ = executable([engine.from_tensor(tensor, CPU) for tensor in tensors])
        return engine.to_torch(result)

    return run


def _static(subject: VaryingSubject) -> AtSizes:
    engine = Iree()

    def at(sizes: Sizes) -> Run:
        module = refined(subject.module, subject.symbols(sizes))
        binary = engine.compile(rewritten(module, engine.pipeline(CPU)), CPU)
        return _called(engine.load(binary, module, CPU, subject.weights))

    return at


def _dynamic(subject: VaryingSubject) -> AtSizes:
    loaded = subject.dynamic
    return lambda sizes: _called(loaded.at(subject.symbols(sizes)))


def _same(run: Run) -> AtSizes:
    return lambda sizes: run


def _inductor(subject: VaryingSubject) -> AtSizes:
    """Compiles in its first call, and again where a size does not meet its guards."""
    compiled = torch.compile(subject.model.module, dynamic=True)
    compiled(*subject.model.inputs(subject.model.example))
    return _same(compiled)


def _onnxruntime(subject: VaryingSubject) -> AtSizes:
    """torch's own exporter keeps the axes that the program has."""
    import onnxruntime as ort

    program = torch.onnx.export(subject.exported, dynamo=True, verbose=False)
    assert program is not None
    program.save(subject.folder / "model.onnx", external_data=True)
    session = onnx_session(subject.folder / "model.onnx")
    names = [value.name for value in session.get_inputs()]

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        feed = {name: ort.OrtValue.from_dlpack(x) for name, x in zip(names, tensors, strict=True)}
        return torch.from_dlpack(session.run_with_ort_values(None, feed)[0])

    return _same(run)


def _openvino(subject: VaryingSubject) -> AtSizes:
    import openvino

    compiled = openvino_model(openvino.convert_model(subject.exported))
    request = compiled.create_infer_request()

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        for place, tensor in enumerate(tensors):
            request.set_input_tensor(place, openvino.Tensor(tensor.numpy(), shared_memory=True))
        request.infer()
        return torch.from_numpy(request.get_output_tensor(0).data)

    return _same(run)


DYNAMIC_SIDES: dict[str, tuple[str, Callable[[VaryingSubject], AtSizes]]] = {
    "static": ("bridge, a binary for each size", _static),
    "dynamic": ("bridge, one binary", _dynamic),
    "compile": ("torch.compile(dynamic=True)", _inductor),
    "onnxruntime": ("ONNX Runtime", _onnxruntime),
    "openvino": ("OpenVINO", _openvino),
}

OURS: Sequence[str] = ("static", "dynamic")
