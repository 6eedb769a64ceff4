"""Each target's pipeline: which passes, in which order, for which machine; and the results are the same."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

import pytest
import torch

import bridge
from lowering.passes.pipeline import PipelineError
from lowering.stablehlo.passes import StableHloPipeline, module_of, stablehlo_pass
from lowering.stablehlo.passes.convolution import Choices
from lowering.stablehlo.passes.parsed import rewritten
from lowering.targets import ENGINES, get_engine, pipelines
from lowering.targets.iree import pipeline as iree
from lowering.targets.target import DEVICES, CompilesDynamic, Machine, TargetOptions
from lowering.targets.xla import pipeline as xla
from tests.lowering.stablehlo.passes.models import CASES, lowered
from tests.lowering.stablehlo.passes.through import results

AVX2 = Machine(cores=2, has_avx512=False, has_bfloat16=False, has_float16=False)
AVX512 = AVX2._replace(has_avx512=True, has_bfloat16=True)
LARGEST = AVX512._replace(has_float16=True)
ONE_CORE = AVX512._replace(cores=1)
MACHINES = (AVX2, AVX512, LARGEST, ONE_CORE)

CLEAN_UP = ["erase-dead-operations", "merge-equal-operations"]
# Passes that results rest on, on every device.
LEGALISED = {
    xla: ["keep-product-roundings", "choose-cast-booleans"],
    iree: [
        *(f"legalise-{what}" for what in "functions float8 booleans".split()),
        "choose-cast-booleans",
        *(f"legalise-{what}" for what in "selections dots windows scatters pads sorts".split()),
    ],
}
# As many that follow the clean-up.
AFTERWARDS = {xla: ["keep-products-that-cancel"], iree: []}


def names(pipeline: StableHloPipeline) -> list[str]:
    return [item.name for item in pipeline.passes]


def choices(pipeline: StableHloPipeline) -> dict[str, object]:
    (found,) = (item for item in pipeline.passes if item.name == "convolutions-channels-last")
    return dict(found.options)


def test_the_passes_of_xla() -> None:
    wanted = [
        "fold-channel-scales",
        "convolutions-channels-last",
        "attention-in-blocks",
        "matmul-weights-in-out",
        "pad-single-row-matmuls",
        "keep-divisions",
        "keep-overflows",
        "keep-subnormals",
        *LEGALISED[xla],
        *CLEAN_UP,
        *AFTERWARDS[xla],
        "weight-hoisting",
    ]
    assert names(xla.pipeline("cpu", AVX512)) == names(xla.pipeline("cpu", AVX2)) == wanted
    rounded = names(xla.pipeline("cpu", LARGEST))
    assert rounded.index("round-float16-products") == rounded.index("keep-overflows") + 1
    assert choices(xla.pipeline("cpu", AVX512))["winograd"] is True
    assert "winograd" not in choices(xla.pipeline("cpu", ONE_CORE))


def test_the_passes_of_iree() -> None:
    wanted = [
        "fold-channel-scales",
        "convolutions-channels-last",
        "attention-in-blocks",
        "pad-batched-matmuls",
        "exact-libm-functions",
        "keep-subnormals",
        *LEGALISED[iree],
        *CLEAN_UP,
        *AFTERWARDS[iree],
    ]
    assert names(iree.pipeline("cpu", AVX512)) == names(iree.pipeline("cpu", LARGEST)) == wanted
    lesser = names(iree.pipeline("cpu", AVX2))
    assert lesser.index("bfloat16-through-float32") == lesser.index("pad-batched-matmuls") + 1
    assert "many_channels_as_im2col" not in choices(iree.pipeline("cpu", AVX512))
    added = {"many_channels_as_im2col": True, "bfloat16_through_float32": True}
    assert choices(iree.pipeline("cpu", AVX2)) == choices(iree.pipeline("cpu", AVX512)) | added


def test_the_passes_of_iree_after_its_input_conversion() -> None:
    wanted = [
        "copy-overwritten-values",
        "hold-insertions",
        "hold-checks",
        "hold-lookups",
        "tie-products",
        "read-masks-as-bytes",
        "round-integers",
        "keep-roundings",
        "bind-weights",
    ]
    for device, machine in (("cpu", AVX512), ("cuda", AVX512), ("cuda", AVX2)):
        made = iree.converted_pipeline(device, machine)
        assert [item.name for item in made.passes] == wanted
        assert made.passes[-1].options == ({"memory": True} if device == "cpu" else {})
    lesser = [item.name for item in iree.converted_pipeline("cpu", AVX2).passes]
    assert lesser == [*wanted[:-1], "rows-in-strips", wanted[-1]]


@pytest.mark.parametrize("target", [xla, iree], ids=["xla", "iree"])
def test_other_devices_get_what_results_rest_on(target: ModuleType) -> None:
    assert names(target.pipeline("cuda", AVX512)) == [
        *LEGALISED[target],
        *CLEAN_UP,
        *AFTERWARDS[target],
    ]


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_listed_is_what_the_engine_uses(name: str) -> None:
    engine = get_engine(name)
    used = [engine.pipeline(TargetOptions(device)).identity() for device in DEVICES]
    if isinstance(engine, CompilesDynamic):
        used += [engine.dynamic_pipeline(TargetOptions(device)).identity() for device in DEVICES]
    listed = [item.identity() for item in pipelines(name) if item.subject == "StableHLO module"]
    assert listed == used


@pytest.mark.parametrize("machine", MACHINES, ids=["avx2", "avx512", "float16", "one core"])
@pytest.mark.parametrize("target", [xla, iree], ids=["xla", "iree"])
def test_each_pass_is_there_and_takes_its_options(target: object, machine: Machine) -> None:
    for item in target.pipeline("cpu", machine).passes:  # pyright: ignore[reportAttributeAccessIssue]
        rewrite = import_module(module_of(item.name)).rewrite
        if item.name == "convolutions-channels-last":
            Choices(**item.options)
        else:
            inspect.signature(rewrite).bind(None, **item.options)
        assert item.summary.endswith(".")


def test_a_pass_that_is_not_there_is_refused() -> None:
    with pytest.raises(PipelineError, match="the pass fold-nothing over StableHLO modules does not exist"):
        stablehlo_pass("fold-nothing")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("machine", [AVX512, ONE_CORE], ids=["several cores", "one core"])
def test_a_pipeline_keeps_results_and_their_types(name: str, machine: Machine) -> None:
    program, x = lowered(name)
    module = program.module(0)
    made = rewritten(module, xla.pipeline("cpu", machine))
    assert made.outputs == module.outputs
    for got, want in zip(results(made, program, [x]), results(module, program, [x]), strict=True):
        torch.testing.assert_close(got, want)


def test_same_module_same_bytes() -> None:
    """Attention in blocks reads sets of values, whose order differs from run to run."""
    queries = [torch.randn(1, 3, 1024, 20) for _ in range(3)]
    program = bridge.lower(_Attention(), tuple(queries))
    made = {rewritten(program.module(0), iree.pipeline("cpu", AVX512)).code for _ in range(6)}
    assert len(made) == 1


class _Attention(torch.nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores = q @ k.mT
        weights = torch.softmax(scores, -1)
        return weights @ v, scores.amax(-1), scores.amin(-1), scores.sum(-1)
