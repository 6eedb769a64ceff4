"""The table of sides: each makes of a model something that is called like the model, torch in, torch out.

A side that cannot raises whatever it raises; who measures writes that down as its reason.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.utils._pytree as pytree

import bridge
from benchmarks.sessions import onnx_session, openvino_model
from tests.models.model import Model

Run = Callable[..., Any]


class Subject:
    """A model to build sides of. What several of them start from is made once, when the first asks for it.

    `folder`: for the files of sides that need some. `dtype`: that of the weights.
    """

    def __init__(self, model: Model, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.folder = folder
        self.dtype = dtype

    @cached_property
    def exported(self) -> torch.export.ExportedProgram:
        return self.model.export()

    @cached_property
    def lowered(self) -> bridge.Lowered:
        return bridge.lower(self.exported)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs in the exported program, in the order of a call's leaves."""
        return [str(name) for name in self.exported.graph_signature.user_inputs]


class Side(NamedTuple):
    """A row. `title`: the head of its column."""

    title: str
    build: Callable[[Subject], Run]


def quiet() -> None:
    """Keep the exporters' warnings off the terminal."""
    warnings.filterwarnings("ignore")
    for name in ("torch", "onnxscript", "onnx_ir", "openvino"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _eager(subject: Subject) -> Run:
    return subject.model.module


def _inductor(subject: Subject, frozen: bool = False) -> Run:
    """torch.compile; compiles in the first call. The option makes dynamo keep the two variants apart."""
    import torch._inductor.config

    if not frozen:
        return torch.compile(subject.model.module)
    compiled = torch.compile(subject.model.module, options={"freezing": True})
    with torch._inductor.config.patch(freezing=True):
        for args, kwargs in subject.model.calls[:1]:
            compiled(*args, **kwargs)
    return compiled


def _onnxruntime(subject: Subject) -> Run:
    """torch's own exporter, weights in a file beside; a session with a thread for each core."""
    import onnxruntime as ort

    program = torch.onnx.export(subject.exported, dynamo=True, verbose=False)
    assert program is not None
    program.save(subject.folder / "model.onnx", external_data=True)
    session = onnx_session(subject.folder / "model.onnx")
    # The exporter leaves out inputs that nothing reads.
    known = {value.name for value in session.get_inputs()}
    names = subject.input_names

    def run(*args: Any, **kwargs: Any) -> Any:
        leaves = zip(names, pytree.tree_leaves((args, kwargs)), strict=True)
        feed = {name: ort.OrtValue.from_dlpack(leaf) for name, leaf in leaves if name in known}
        return [torch.from_dlpack(value) for value in session.run_with_ort_values(None, feed)]

    return run


def _openvino(subject: Subject) -> Run:
    import openvino

    model = openvino.convert_model(subject.exported)
    compiled = openvino_model(model, halves=subject.dtype is torch.bfloat16)
    if len(compiled.inputs) != len(subject.input_names):
        found, wanted = len(compiled.inputs), len(subject.input_names)
        raise RuntimeError(f"OpenVINO's model has {found} inputs, the program has {wanted}")
    request = compiled.create_infer_request()
    halves = [port.element_type == openvino.Type.bf16 for port in compiled.outputs]

    def tensor(leaf: torch.Tensor) -> Any:
        if leaf.dtype is not torch.bfloat16:
            return openvino.Tensor(leaf.numpy(), shared_memory=True)
        bits = leaf.view(torch.uint16).numpy()
        return openvino.Tensor(bits, openvino.Shape(list(leaf.shape)), openvino.Type.bf16)

    def run(*args: Any, **kwargs: Any) -> Any:
        for index, leaf in enumerate(pytree.tree_leaves((args, kwargs))):
            request.set_input_tensor(index, tensor(leaf))
        request.infer()
        arrays = [request.get_output_tensor(index).data for index in range(len(halves))]
        return [
            torch.from_numpy(array.view("uint16")).view(torch.bfloat16) if half else torch.from_numpy(array)
            for array, half in zip(arrays, halves, strict=True)
        ]

    return run


def _bridge(engine: str, subject: Subject) -> Run:
    return subject.lowered.compile(engine)


SIDES: dict[str, Side] = {
    "eager": Side("eager", _eager),
    "compile": Side("torch.compile", _inductor),
    "frozen": Side("torch.compile, frozen", partial(_inductor, frozen=True)),
    "onnxruntime": Side("ONNX Runtime", _onnxruntime),
    "openvino": Side("OpenVINO", _openvino),
    "xla": Side("bridge, xla", partial(_bridge, "xla")),
    "iree": Side("bridge, iree", partial(_bridge, "iree")),
    "aten": Side("bridge, aten", partial(_bridge, "aten")),
    "auto": Side("bridge, auto", partial(_bridge, "auto")),
}

#: What the others are compared with.
OTHERS = tuple(name for name in SIDES if name != "eager")

OURS = ("xla", "iree", "aten", "auto")
