from __future__ import annotations

import numpy as np
import pytest

from lowering.ir.errors import EngineError
from lowering.ir.types import DType
from lowering.targets.target import TargetOptions
from lowering.targets.xla import client as xla_client
from lowering.targets.xla import compile as xla_compile
from lowering.targets.xla import engine as xla
from tests.lowering.targets.engine_modules import add_one, linear

CPU = TargetOptions()


def test_smoke_of_every_surface_of_jaxlib() -> None:
    assert xla.smoke() == 42.0


def test_a_changed_jaxlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(xla_client._SURFACE, xla_client.xla_client, ("DeviceList", "gone"))
    with pytest.raises(EngineError, match=r"jaxlib .* lacks gone; install"):
        xla.Xla()


def test_options_follow_the_dtypes_and_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "xla_cpu_experimental_ynn_fusion_type"
    for cores, dtype, value in (
        (1, DType.FLOAT32, ""),
        (1, DType.BFLOAT16, "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),
        (2, DType.FLOAT32, "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),
    ):
        monkeypatch.setattr(xla_compile, "cores", lambda cores=cores: cores)
        options = xla_compile.options_for(add_one(dtype), CPU)
        assert options[key] == value
        assert options["xla_allow_excess_precision"] == "False"


def test_an_option_this_jaxlib_lacks_is_dropped_if_ours_and_refused_if_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xla_compile, "_accepts", lambda device, key, value: False)
    assert xla_compile.options_for(add_one(), CPU) == {}
    with pytest.raises(EngineError, match="refuses the option xla_nonsense=1"):
        xla_compile.options_for(add_one(), TargetOptions(options={"xla_nonsense": "1"}))


def test_a_refused_option_is_found_out() -> None:
    with pytest.raises(EngineError, match="refuses the option xla_nonsense=1"):
        xla.Xla().compile(add_one(), TargetOptions(options={"xla_nonsense": "1"}))


def test_a_given_option_replaces_ours() -> None:
    given = TargetOptions(options={"xla_cpu_prefer_vector_width": "256", "timeout": "9"})
    options = xla_compile.options_for(add_one(), given)
    assert options["xla_cpu_prefer_vector_width"] == "256"
    assert "timeout" not in options


def test_tied_ports_share_one_imported_weight() -> None:
    engine, program = xla.Xla(), linear()
    weight = np.eye(8, dtype=np.float32)
    executable = engine.load(engine.compile(program, CPU), program, CPU, {"layer.weight": weight})
    for _ in range(3):
        (result,) = executable([engine.from_tensor(weight * 3, CPU)])
        np.testing.assert_array_equal(engine.to_numpy(result), weight * 3)


def test_a_binary_says_how_much_memory_a_call_needs() -> None:
    engine = xla.Xla()
    assert engine.temporary(engine.compile(add_one(DType.FLOAT32), CPU), CPU) == 0


def test_a_binary_runs_on_each_device_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three devices of a client on the CPU stand for GPUs."""
    client = xla_client.xla_client.make_cpu_client(asynchronous=False, num_devices=3)
    devices = client.local_devices()

    lists = tuple(xla_client.xla_client.DeviceList((device,)) for device in devices)
    real = xla_client._client
    monkeypatch.setattr(xla_client, "_client", lambda kind: (client, lists) if kind == "cuda" else real(kind))
    engine, program = xla.Xla(), linear()
    weight = np.eye(8, dtype=np.float32)
    binary = engine.compile(program, TargetOptions("cuda"))
    for index in (0, 2):
        target = TargetOptions("cuda", index=index)
        executable = engine.load(binary, program, target, {"layer.weight": weight})
        (result,) = executable([engine.from_tensor(weight * 3, target)])
        assert result.array.device == devices[index]
        np.testing.assert_array_equal(engine.to_numpy(result), weight * 3)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="there is no cpu:9 here, but 1 of its kind"):
        xla_client.client_of("cpu", 9)
