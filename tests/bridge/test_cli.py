"""The command line: what it prints, and one sentence with exit status 1 for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge import operators
from bridge.cli.results import write_results
from bridge.errors import UsageError
from lowering.host.weights import materialise
from tests.bridge.command_line import bridge_cli, ok, refused
from tests.bridge.samples import lowered, path_of
from tests.pt2_samples import SAMPLES

MLP = path_of("mlp")
CACHED = path_of("cached_attention")


def _inputs(folder: Path, name: str) -> list[Path]:
    sample = next(s for s in SAMPLES if s.path == path_of(name))
    files = [folder / f"{name}{i}.npy" for i, _ in enumerate(sample.leaves())]
    for file, leaf in zip(files, sample.leaves(), strict=True):
        np.save(file, leaf)
    return files


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cached_attention, lowered by the command line and compiled for IREE."""
    path = tmp_path_factory.mktemp("cli") / "cached.bridge"
    out = ok("lower", CACHED, "-o", path)
    assert out.endswith(f"0 on ATen\nwrote {path}\n")
    return path


# ---------------------------------------------------------------------------------------------- what it does


def test_lower_puts_the_artifact_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(MLP.read_bytes())
    data = json.loads(ok("lower", tmp_path / "model.pt2", "-e", "none", "--json"))
    assert data["artifact"] == str(tmp_path / "model.bridge")
    assert data["nodes"] == {"stablehlo": 5, "aten": 0}
    assert sorted(os.listdir(tmp_path)) == ["model.bridge", "model.pt2"]
    ok("lower", tmp_path / "model.bridge", "-e", "iree")
    assert [b.engine for b in bridge.load(tmp_path / "model.bridge").binaries.values()] == ["iree"]


def test_lower_prints_a_line_per_gap(tmp_path: Path) -> None:
    out = ok("lower", path_of("data_dependent"), "-e", "none", "-o", tmp_path / "d.bridge").splitlines()
    gaps = [line for line in out if line.startswith("  ")]
    assert len(gaps) == len(lowered("data_dependent").plan.reasons)
    assert gaps[0].startswith("  nonzero (aten.nonzero.default) at make_pt2_samples.py:")
    status, missing, _ = bridge_cli("ops", "--missing", path_of("data_dependent"))
    assert (status, missing.splitlines()) == (1, out[:-1])


def test_info_of_an_artifact(artifact: Path) -> None:
    out = ok("info", artifact)
    assert out.startswith(f"{artifact}: exported by torch 2.13.0")
    for line in (
        "input x: f32[1, 1, 16]",
        "input pos: i64[1]",
        "output scaled_dot_product_attention: f32[1, 2, 1, 8]",
        "writes buffer k",
        "writes buffer v",
        "4 weights, ",
        "compiled for iree on cpu",
        "1 segment, 14 nodes on StableHLO, 0 on ATen",
    ):
        assert f"\n{line}" in out
    assert "symbol s77: any to 64, 3 in the example" in ok("info", path_of("mlp_dynamic"))


def test_info_as_json(artifact: Path) -> None:
    data = json.loads(ok("info", artifact, "--json"))
    assert data["inputs"][0] == {"name": "x", "type": "f32[1, 1, 16]"}
    assert data["writes"] == [{"kind": "buffer", "name": "k"}, {"kind": "buffer", "name": "v"}]
    assert data["binaries"][0]["engine"] == "iree"
    assert data["weights"]["names"] == 4
    symbols = json.loads(ok("info", path_of("mlp_dynamic"), "--json"))["symbols"]
    assert symbols == {"s77": {"low": None, "high": 64, "example": 3, "axis": "x.0", "not_batch_axis": ""}}
    assert json.loads(ok("info", MLP, "--json", "--program"))["graph"]["nodes"]
    assert "stablehlo." in json.loads(ok("info", MLP, "--json", "--stablehlo", 0))["stablehlo"]
    assert "module @" in ok("info", MLP, "--stablehlo", 0)
    assert "aten.linear.default" in ok("info", MLP, "--program")


def test_run_shows_and_writes_outputs(artifact: Path, tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.path == CACHED)
    files = _inputs(tmp_path, "cached_attention")
    words = [word for file in files for word in ("--input", file)]
    assert ok("run", artifact, *words).startswith(
        "output scaled_dot_product_attention: float32 [1, 2, 1, 8]\n"
    )
    data = json.loads(ok("run", artifact, *words, "-o", tmp_path / "out.npy", "--json"))
    assert data["outputs"][0]["sizes"] == [1, 2, 1, 8]
    assert data["report"]["engine"] == "iree"
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), sample.outputs()[0], rtol=1e-5)
    x, pos = (np.load(file) for file in files)
    np.savez(tmp_path / "named.npz", pos=pos, x=np.asfortranarray(x))
    ok("run", artifact, "--input", tmp_path / "named.npz", "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as content:
        np.testing.assert_allclose(
            content["outputs/scaled_dot_product_attention"], sample.outputs()[0], rtol=1e-5
        )
        assert set(content) == {"outputs/scaled_dot_product_attention", "buffers/k", "buffers/v"}
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_run_records_each_step(artifact: Path, tmp_path: Path) -> None:
    files = _inputs(tmp_path, "cached_attention")
    words = [word for file in files for word in ("--input", file)]
    ok("run", artifact, *words, "--record", tmp_path / "steps", "-o", tmp_path / "out.npy")
    (step,) = json.loads((tmp_path / "steps" / "steps.json").read_text())
    assert step["engine"] == "iree"
    weights = bridge.read_weights(tmp_path / "steps" / step["outputs"])
    made = materialise(weights, weights.views)
    assert any(np.array_equal(value, np.load(tmp_path / "out.npy")) for value in made.values())
    assert {"x", "pos"} <= bridge.read_weights(tmp_path / "steps" / step["inputs"]).views.keys()
    refused("is not empty", "run", artifact, *words, "--record", tmp_path / "steps")


def test_dtypes_that_numpy_files_have_no_name_for_are_bits(tmp_path: Path) -> None:
    sample = next(s for s in SAMPLES if s.path == path_of("mixed_types"))
    bits = [leaf.view(np.uint16) if leaf.dtype.name == "bfloat16" else leaf for leaf in sample.leaves()]
    np.savez(tmp_path / "in.npz", *bits)
    ok("run", path_of("mixed_types"), "-e", "aten", "-i", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    names = [item["name"] for item in json.loads(ok("info", path_of("mixed_types"), "--json"))["outputs"]]
    with np.load(tmp_path / "out.npz") as content:
        for name, expected in zip(names, sample.outputs(), strict=True):
            assert content[f"outputs/{name}"].tobytes() == expected.tobytes()


def test_verify_prints_a_table_and_its_verdict(artifact: Path, tmp_path: Path) -> None:
    out = ok("verify", artifact, "-e", "iree,aten", "--calls", 2)
    assert "| iree | 1 | 14 | 0 | 10 |" in out
    assert out.count("| equal |") == 2
    files = _inputs(tmp_path, "cached_attention")
    data = json.loads(ok("verify", artifact, "-e", "aten", "-i", files[0], "-i", files[1], "--json"))
    assert data["passed"] is True
    assert data["source"] == str(artifact)


def test_verify_fails_with_status_1(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.verification import trial
    from bridge.verification.compare import Difference

    monkeypatch.setattr(trial, "compare", lambda name, *_, **__: Difference(name, 1.0, "is wrong"))
    status, out, _ = bridge_cli("verify", artifact, "-e", "aten")
    assert status == 1
    assert "- aten: output 0 is wrong" in out
    status, out, _ = bridge_cli("verify", artifact, "-e", "aten", "--json")
    assert status == 1
    assert json.loads(out)["passed"] is False


def test_ops() -> None:
    assert (
        ok("ops")
        .rstrip()
        .splitlines()[-1]
        .endswith("overloads have a rule; the others are decomposed or run on ATen")
    )
    assert "aten.relu.default" in json.loads(ok("ops", "--json"))
    assert ok("ops", "--missing", MLP) == f"{MLP}: every node lowers to StableHLO\n"
    assert json.loads(ok("ops", "--missing", MLP, "--json")) == []


def test_ops_of_one_operator() -> None:
    lines = ok("ops", "aten.grid_sampler_2d.default").splitlines()
    assert lines == operators.describe("aten.grid_sampler_2d.default")
    assert lines[0] == "aten.grid_sampler_2d.default: rule in lowering.stablehlo.ops.sampling"
    data = json.loads(ok("ops", "aten.grid_sampler_2d.default", "--json"))
    assert data == operators.operator("aten.grid_sampler_2d.default").json()
    assert (data["op"], data["how"]) == ("aten.grid_sampler_2d.default", "lowering.stablehlo.ops.sampling")


def test_compiled_code_of_others_is_not_run(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    status, out, err = bridge_cli("info", artifact)
    assert status == 0
    assert "compiled for" not in out
    assert err == (
        f"bridge: {artifact}: 2 compiled binaries of somebody else's will not run but be compiled anew; "
        "--trust runs them\n"
    )
    assert "compiled for iree" in ok("info", artifact, "--trust")


# ------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize("command", ["lower", "run", "verify", "info"])
def test_sources_that_are_none(command: str, tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    refused("none.pt2: no such file", command, tmp_path / "none.pt2")
    refused("text.pt2: not a .pt2 file", command, tmp_path / "text.pt2")
    refused("folder is a folder but no artifact; give a .pt2 file", command, tmp_path / "folder")
    refused("cannot import 'no_such'", command, MLP, "--import", "no_such")
    assert sorted(os.listdir(tmp_path)) == ["folder", "text.pt2"]


def test_models_that_are_not_there(artifact: Path) -> None:
    refused("nope", "info", MLP, "--model", "nope")
    refused("--method nope:", "info", artifact, "--model", "nope")


def test_engines_and_devices_that_do_not_exist(tmp_path: Path) -> None:
    target = tmp_path / "out.bridge"
    refused(
        "the engine 'tpu' does not exist; there are iree, xla, aten", "lower", MLP, "-e", "tpu", "-o", target
    )
    refused("the engine 'tpu' does not exist", "lower", MLP, "-e", "iree,tpu", "-o", target)
    refused("the engine 'tpu' does not exist", "run", MLP, "-e", "tpu")
    refused("the engine 'tpu' does not exist", "verify", MLP, "-e", "tpu")
    refused("nothing to verify without an engine", "verify", MLP, "-e", ",")
    for command in ("lower", "run", "verify"):
        refused("the device 'tpu' does not exist; there are cpu, cuda", command, MLP, "--device", "tpu")
        refused("the engine aten runs on the cpu only", command, MLP, "-e", "aten", "--device", "cuda")
    assert not target.exists()


def _has_gpu() -> bool:
    return Path("/dev/nvidia0").exists()


@pytest.mark.skipif(_has_gpu(), reason="there is a GPU here")
@pytest.mark.parametrize("engine", ["iree", "xla"])
def test_cuda_without_a_gpu(engine: str, tmp_path: Path) -> None:
    target = tmp_path / "out.bridge"
    words = ("lower", MLP, "-o", target, "-e", engine, "--device", "cuda")
    refused(f"the device cuda cannot be used: {engine}: ", *words)
    assert not target.exists()


def test_outputs_that_cannot_be_written(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    refused("file exists and is not an artifact", "lower", MLP, "-o", tmp_path / "file")
    refused("file is not a folder", "lower", MLP, "-o", tmp_path / "file" / "a.bridge")
    run = ("run", artifact, "--input", tmp_path / "unread.npy", "--output")
    refused("are written as .npz", *run, tmp_path / "out.txt")
    refused("it is a folder", *run, tmp_path / "folder.npz")
    refused("does not exist or is not writable", *run, tmp_path / "no" / "out.npz")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.npz"]


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.npz").write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(UsageError, match=r"cannot write .*out\.npz: No space left on device"):
        write_results(tmp_path / "out.npz", {"outputs": {"x": np.zeros(3)}, "inputs": {}, "buffers": {}})
    assert os.listdir(tmp_path) == ["out.npz"]
    assert (tmp_path / "out.npz").read_text() == "old"


def test_several_outputs_do_not_fit_one_npy(tmp_path: Path) -> None:
    words = [w for file in _inputs(tmp_path, "tree") for w in ("-i", file)]
    refused("outputs; write an .npz", "run", path_of("tree"), *words, "-e", "aten", "-o", tmp_path / "o.npy")


def test_input_files_that_are_none(tmp_path: Path) -> None:
    def run(message: str, *files: Path) -> None:
        refused(message, "run", MLP, "-e", "aten", *(word for file in files for word in ("--input", file)))

    good = _inputs(tmp_path, "mlp")[0]
    np.save(tmp_path / "pickled.npy", np.array([{}, 1]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "cut.npy").write_bytes(good.read_bytes()[:-9])
    (tmp_path / "empty.npy").write_bytes(b"")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }".ljust(117) + b"\n"
    (tmp_path / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04" + bytes(40))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with (tmp_path / "flipped.npz").open("wb") as stream:
        np.savez(stream, np.zeros(50))
    content = bytearray((tmp_path / "flipped.npz").read_bytes())
    content[200] ^= 255
    (tmp_path / "flipped.npz").write_bytes(content)

    run("the program takes 1 input (x), none was given; give each with --input")
    run("the program takes 1 input (x), ", good, good)
    run(f"{tmp_path / 'two.npz'} has 2; give one file each, or all in one .npz", tmp_path / "two.npz")
    run("none.npy: No such file", tmp_path / "none.npy")
    run("Is a directory", tmp_path)
    for name in ("pickled.npy", "text.npy", "cut.npy", "empty.npy", "huge.npy", "bad.npz", "flipped.npz"):
        run(f"{name} is not a .npy or .npz file that numpy reads without pickle: ", tmp_path / name)


def test_inputs_that_do_not_fit(tmp_path: Path) -> None:
    (good,) = _inputs(tmp_path, "mlp")
    x = np.load(good)

    def run(array: Any, message: str) -> None:
        np.save(tmp_path / "x.npy", array)
        for engine in ("iree", "aten"):
            refused(message, "run", MLP, "-e", engine, "-i", tmp_path / "x.npy")
        refused("", "verify", MLP, "-e", "aten", "-i", tmp_path / "x.npy")

    run(x.astype(np.float64), "`x` is float64, the program takes float32")
    run(x[0], "`x` has 1 dimension (8,)")
    run(np.array(1.0, np.float32), "`x` has 0 dimensions ()")
    run(x.astype(">f4"), "`x`: no tensor has numpy's element type >f4")
    run(x.astype(np.float16), "`x` is float16")
    run(np.zeros(3, [("a", "f4")]), "`x`: no tensor has numpy's element type")
    run(np.array(["a"]), "`x`: no tensor has numpy's element type <U1")
    run(np.array(["2020"], "datetime64[D]"), "`x`: no tensor has numpy's element type datetime64[D]")


def test_the_order_of_memory_is_no_matter(tmp_path: Path) -> None:
    (good,) = _inputs(tmp_path, "mlp")
    np.save(tmp_path / "fortran.npy", np.asfortranarray(np.load(good)))
    for engine in ("iree", "aten"):
        assert ok("run", MLP, "-e", engine, "-i", tmp_path / "fortran.npy") == ok(
            "run", MLP, "-e", engine, "-i", good
        )


def test_segments_and_operators_that_do_not_exist() -> None:
    refused("segment 7 does not exist: the plan has 1", "info", MLP, "--stablehlo", 7)
    refused(
        "segment 0 runs on ATen and has no StableHLO", "info", path_of("data_dependent"), "--stablehlo", 0
    )
    refused("aten.nope.default is not an operator that is known here", "ops", "aten.nope.default")
    refused("not both", "ops", "aten.relu.default", "--missing", MLP)
    refused("none.pt2: no such file", "ops", "--missing", "none.pt2")


def test_usage_errors_have_status_2() -> None:
    refused("No such command 'nope'", "nope", status=2)
    refused("No such option: --nope", "info", MLP, "--nope", status=2)
    refused("Missing: give a .pt2 file, or --method", "lower", status=2)
    refused("Missing argument", "info", status=2)
    refused("Invalid value for '--calls'", "verify", MLP, "--calls", "0", status=2)
    refused("Invalid value for '--stablehlo'", "info", MLP, "--stablehlo", "x", status=2)


def test_every_command_has_help() -> None:
    for command in ("lower", "run", "verify", "info", "ops", "cache", "demo"):
        assert "Usage: " in ok(command, "--help")


# ----------------------------------------------------------------------------------- as a process of its own


def _start(*words: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bridge", "--quiet", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **{**pipes, **options})


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = _start("ops", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (141, "")


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    # A shell's background jobs ignore interrupts, and so would what these tests start when they are one.
    process = _start(
        "lower",
        MLP,
        "-o",
        tmp_path / "o.bridge",
        "--import",
        "slow",
        env=environment,
        preexec_fn=_heed_interrupts,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (130, "bridge: interrupted\n")
    assert not (tmp_path / "o.bridge").exists()
