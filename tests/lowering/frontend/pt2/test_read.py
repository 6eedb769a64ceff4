"""Every sample is read without torch, and says what its model is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lowering.frontend.pt2 import read
from lowering.ir.program import Graph, InputKind, OutputKind, Range, Ref
from lowering.ir.symbols import Symbol
from lowering.ir.types import DType, SymKind, SymType, TensorType

from .damage import SAMPLES, entries, rewrite, sample, write

FILES = sorted(SAMPLES.glob("*/*.pt2"))
VERSIONS = ("2.9.1", "2.13.0", "2.15.0")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_sample_reads_and_matches_what_was_recorded(path: Path):
    program, _ = read(path)
    recorded = np.load(path.with_suffix("").with_suffix(".expected.npz"))
    users = [spec for spec in program.signature.inputs if spec.kind is InputKind.USER]
    assert len(users) == sum(1 for key in recorded if key.startswith("in"))
    for index, spec in enumerate(users):
        type_ = program.graph.values[spec.name]
        assert isinstance(type_, TensorType)
        array = recorded[f"in{index}"]
        # numpy has no bfloat16: its bits are stored
        assert array.dtype == ("uint16" if type_.dtype is DType.BFLOAT16 else type_.dtype.value)
        sizes = tuple(program.hints[s.name] if isinstance(s, Symbol) else s for s in type_.sizes)
        assert array.shape == sizes
    outputs = [spec for spec in program.signature.outputs if spec.kind is OutputKind.USER]
    assert (
        len(outputs) == program.signature.out_spec.leaves == sum(1 for k in recorded if k.startswith("out"))
    )
    for index, spec in enumerate(outputs):
        assert isinstance(spec.value, Ref)
        type_ = program.graph.values[spec.value.name]
        assert isinstance(type_, TensorType)
        if type_.is_static:
            assert recorded[f"out{index}"].shape == type_.sizes
    assert program.schema_version[0] == 8
    assert path.parent.name == "torch-" + program.torch_version.partition("+")[0]


def test_there_are_samples_of_three_versions():
    assert {path.parent.name for path in FILES} == {f"torch-{version}" for version in VERSIONS}
    assert len(FILES) == 42


def test_reading_imports_neither_torch_nor_jax():
    code = (
        "import sys; from lowering.frontend.pt2 import read\n"
        "for path in sys.argv[1:]:\n"
        "    program, weights = read(path)\n"
        "    for storage in weights.storages.values(): storage.open()\n"
        "found = {'torch', 'jax', 'jaxlib', 'iree', 'sympy'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, FILES)], check=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_nodes_have_names_targets_and_sources(version: str):
    program, _ = read(sample("mlp", version))
    assert [node.target for node in program.graph.nodes] == [
        "aten.linear.default",
        "aten.gelu.default",
        "aten.dropout.default",
        "aten.linear.default",
        "aten.softmax.int",
    ]
    assert [node.name for node in program.graph.nodes] == ["linear", "gelu", "dropout", "linear_1", "softmax"]
    assert [arg.name for arg in program.graph.nodes[0].args] == ["input", "weight", "bias"]
    assert program.graph.nodes[0].location.frames[0].source.startswith("return")
    assert program.graph.nodes[0].location.module_path
    assert program.signature.argument_names == ("x",)


def test_names_are_the_same_whether_written_or_derived():
    """Schema 8.14 has no node names; those made up here are those that 8.20 has for the same nodes."""
    compared = 0
    for path in sorted((SAMPLES / "torch-2.9.1").glob("*.pt2")):
        old, new = read(path)[0].graph.nodes, read(sample(path.stem))[0].graph.nodes
        if [node.target for node in old] == [node.target for node in new]:
            assert [node.name for node in old] == [node.name for node in new], path.stem
            compared += 1
    assert compared > 10


@pytest.mark.parametrize("version", VERSIONS)
def test_node_names_are_unique(version: str):
    program, _ = read(sample("data_dependent", version))
    names = [node.name for node in program.graph.nodes]
    assert len(set(names)) == len(names)
    assert all(names)


@pytest.mark.parametrize("version", VERSIONS)
def test_symbolic_sizes_ranges_and_hints(version: str):
    program, _ = read(sample("mlp_dynamic", version))
    type_ = program.graph.values["x"]
    assert isinstance(type_, TensorType)
    assert type_.sizes[0] == Symbol("s77")
    assert program.ranges == {"s77": Range(None, 64)}, "torch does not check the exporter's 2"
    assert program.hints == {"s77": 3}


@pytest.mark.parametrize("version", VERSIONS)
def test_sizes_known_only_at_run_time(version: str):
    program, _ = read(sample("data_dependent", version))
    assert program.graph.values["sym_size_int"] == SymType(SymKind.INT, Symbol("u0"))
    assert program.ranges["u0"] == Range(0, 6)
    condition = program.graph.values["ge"]
    assert isinstance(condition, SymType)
    assert condition.kind is SymKind.BOOL
    assert str(condition.value) == "u0 >= 0"


@pytest.mark.parametrize("version", VERSIONS)
def test_branches_are_graphs_of_their_own(version: str):
    program, _ = read(sample("branch", version))
    cond = program.graph.nodes[-1]
    assert cond.target == "higher_order.cond"
    graphs = [arg.value for arg in cond.args if isinstance(arg.value, Graph)]
    assert [graph.name for graph in graphs] == ["true_graph_0", "false_graph_0"]
    assert all(graph.inputs == (Ref("x"),) for graph in graphs)
    assert [node.target for node in graphs[1].nodes] == ["aten.cos.default", "aten.add.Tensor"]


@pytest.mark.parametrize("version", VERSIONS)
def test_lists_and_tuples_are_told_apart(version: str):
    attention, _ = read(sample("cached_attention", version))
    chunk = next(node for node in attention.graph.nodes if node.target == "aten.chunk.default")
    assert len(chunk.outputs) == 1
    assert isinstance(chunk.outputs[0], tuple)
    assert len(chunk.outputs[0]) == 3
    mixed, _ = read(sample("norms", version))
    topk = next(node for node in mixed.graph.nodes if node.target == "aten.topk.default")
    assert [type(output) for output in topk.outputs] == [str, str]


@pytest.mark.parametrize("version", VERSIONS)
def test_tied_weights_share_one_storage(version: str):
    _, weights = read(sample("tied_embedding", version))
    assert weights.views["emb.weight"] == weights.views["head.weight"]
    assert len(weights.storages) == 1


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_storages_are_the_payloads_bytes(path: Path):
    _, weights = read(path)
    contents = entries(path)
    for key, storage in weights.storages.items():
        array = storage.open()
        assert array.dtype == np.uint8
        assert array.nbytes == storage.nbytes
        assert array.tobytes() == contents[f"data/{key}"]
        assert not array.flags.writeable
        assert not array.flags.owndata


def test_weights_are_views_of_what_torch_saved():
    _, weights = read(sample("convnet"))
    view = weights.views[next(iter(weights.views))]
    assert view.dtype is DType.FLOAT32
    assert len(view.sizes) == len(view.strides) == 4


def test_the_payload_may_lie_anywhere(tmp_path: Path):
    """zipfile writes local headers without torch's padding; the data offset is in the header."""
    source = sample("mlp")
    moved = write(tmp_path / "moved.pt2", entries(source))
    for key, storage in read(moved)[1].storages.items():
        assert storage.open().tobytes() == read(source)[1].storages[key].open().tobytes()
    assert read(moved)[0] == read(source)[0]


def test_a_compressed_archive_reads_the_same(tmp_path: Path):
    source = sample("mlp")
    contents = entries(source)
    packed = write(tmp_path / "packed.pt2", contents, frozenset(contents))
    with zipfile.ZipFile(packed) as archive:
        assert any(info.compress_type == zipfile.ZIP_DEFLATED for info in archive.infolist())
    program, weights = read(packed)
    assert program == read(source)[0]
    for key, storage in weights.storages.items():
        assert storage.open().tobytes() == contents[f"data/{key}"]


def test_reading_leaves_the_payload_alone(tmp_path: Path):
    """Bytes of a weight are not looked at: the checksum of a changed one does not matter."""
    data = bytearray(sample("mlp").read_bytes())
    with zipfile.ZipFile(sample("mlp")) as archive:
        payload = next(info for info in archive.infolist() if info.filename.endswith("weights/weight_0"))
        content = archive.read(payload)
    where = bytes(data).index(content)
    data[where] ^= 0xFF
    changed = tmp_path / "changed.pt2"
    changed.write_bytes(data)
    storage = read(changed)[1].storages["weights/weight_0"]
    assert storage.open().tobytes() == bytes([content[0] ^ 0xFF]) + content[1:]


def test_a_model_among_several_is_chosen_by_name(tmp_path: Path):
    contents = entries(sample("mlp"))
    for name in list(contents):
        for old, new in (
            ("models/model.json", "models/second.json"),
            ("model_weights_config", "second_weights_config"),
            ("model_constants_config", "second_constants_config"),
        ):
            if old in name:
                contents[name.replace(old, new)] = contents[name]
    path = write(tmp_path / "two.pt2", contents)
    assert read(path, "second")[0] == read(path, "model")[0] == read(sample("mlp"))[0]


def test_a_later_minor_version_is_read(tmp_path: Path):
    def bump(document):
        document["schema_version"]["minor"] = 99
        document["graph_module"]["novelty"] = {"of": "8.99"}

    path = rewrite(sample("mlp"), tmp_path / "new.pt2", {"models/model.json": bump})
    assert read(path)[0].schema_version == (8, 99)
    assert read(path)[0].graph == read(sample("mlp"))[0].graph
