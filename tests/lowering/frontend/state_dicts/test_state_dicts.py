"""Weights of files as torch, safetensors and transformers write them; no pickle is executed."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lowering.frontend.errors import ArchiveError
from lowering.frontend.state_dicts import StateDictError, read_state_dict
from lowering.host.weights import WeightError, materialise, torch_weights
from lowering.ir.weights import Weights
from tests.fuzz.weights import BY_HAND

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.uint16,
]


def state_dict() -> dict[str, torch.Tensor]:
    whole = torch.arange(24.0).reshape(4, 6)
    return {
        "view": whole[1:3, ::2],
        "turned": whole.t(),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, 3)),
        **{str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES},
    }


def check(found: Weights, expected: dict[str, torch.Tensor]) -> None:
    tensors = torch_weights(found, expected)
    for name, want in expected.items():
        got = tensors[name]
        assert (got.dtype, got.shape, got.stride()) == (want.dtype, want.shape, want.stride()), name
        assert torch.equal(_bits(got), _bits(want)), name
    assert set(found.views) == set(expected)


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_dict_of_torch(tmp_path: Path, protocol: int) -> None:
    given = state_dict()
    torch.save(OrderedDict(given), tmp_path / "w.pt", pickle_protocol=protocol)
    check(read_state_dict(tmp_path / "w.pt"), {name: tensor.detach() for name, tensor in given.items()})


def test_views_of_one_storage_stay_so(tmp_path: Path) -> None:
    torch.save(state_dict(), tmp_path / "w.pt")
    views = read_state_dict(tmp_path / "w.pt").views
    assert views["view"].storage == views["turned"].storage


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_with_a_state_dict_in_it(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: {"w": torch.ones(2)}, "note": "x"}, tmp_path / "w.pt")
    check(read_state_dict(tmp_path / "w.pt"), {"w": torch.ones(2)})


def test_torch_reads_what_it_wrote_before_1_6(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    check(read_state_dict(tmp_path / "w.pt"), {"w": torch.ones(2)})


def test_a_file_of_safetensors(tmp_path: Path) -> None:
    given = plain(state_dict())
    save_file(given, tmp_path / "w.safetensors")
    check(read_state_dict(tmp_path / "w.safetensors"), given)


@pytest.mark.parametrize("through", ["folder", "index"])
def test_several_files_with_their_index(tmp_path: Path, through: str) -> None:
    given = plain(state_dict())
    table = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(given)}
    for file in set(table.values()):
        save_file({name: given[name] for name in given if table[name] == file}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    check(read_state_dict(tmp_path if through == "folder" else index), given)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "other.safetensors"])
def test_a_folder_with_one_file(tmp_path: Path, name: str) -> None:
    save = save_file if name.endswith("safetensors") else torch.save
    save({"w": torch.ones(2)}, tmp_path / name)
    check(read_state_dict(tmp_path), {"w": torch.ones(2)})


def test_tensors_and_arrays_in_memory() -> None:
    given = {name: tensor.detach() for name, tensor in state_dict().items()}
    check(read_state_dict(given), given)
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(6).reshape(2, 3).T}
    dense = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    check(read_state_dict(arrays), dense)


def test_no_torch_is_imported(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors")
    code = (
        "import sys\nfrom lowering.frontend.state_dicts import read_state_dict\n"
        "from lowering.host.weights import materialise\n"
        "for path in sys.argv[1:]: assert materialise(read_state_dict(path), ['w'])['w'].sum() == 2\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "w.pt", tmp_path / "w.safetensors"], check=True)


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("harm",))


def _pickle(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl", content)
            archive.writestr("w/byteorder", "little")

    return write


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_pickle(pickle.dumps({"w": Harmful()})), "torch cannot read it"),
        (_pickle(pickle.dumps({"w": Harmful()}, protocol=0)), "torch cannot read it"),
        (_pickle(b"\x80\x02}"), "damaged"),
        (_pickle(b"\x80\x02."), "damaged"),
        (_pickle(b"\x80\x02h\x07."), "damaged"),
        (_pickle(b"\x80\x02]K\x01K\x02s."), "damaged"),
        (_pickle(b"\x80\x02K\x03."), "it holds a int, not a state dict"),
        (_pickle(pickle.dumps({"epoch": 3})), "its entries are: epoch"),
        (_pickle(pickle.dumps({})), "its entries are: none"),
        (lambda path: path.write_bytes(b"nothing"), "torch cannot read it"),
        (lambda path: path.write_bytes(b"PK\3\4 torn"), "torch cannot read it"),
    ],
)
def test_what_is_not_a_state_dict(
    tmp_path: Path, write: Callable[[Path], None], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pt"
    write(path)
    with pytest.raises(StateDictError, match=words) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "harm" not in capfd.readouterr().out


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("content", BY_HAND, ids=range(len(BY_HAND)))
def test_what_is_small_and_not_to_be_gone_through(tmp_path: Path, content: bytes, old: bool) -> None:
    """Doubled, endless and deep values: refused before anything hashes them or says them."""
    path = tmp_path / "w.pt"
    path.write_bytes(content) if old else _pickle(content)(path)
    with pytest.raises(StateDictError) as caught:
        read_state_dict(path)
    assert len(str(caught.value)) < 1000


def test_a_tensor_past_the_end_of_its_storage(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "w.pt", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, content[:8] if name.endswith("data/0") else content)
    with pytest.raises(StateDictError, match="the weight 'w' needs 16 bytes, its storage has 8"):
        read_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("{", "not JSON"),
        ("[]", "no weight_map"),
        ('{"weight_map": {"w": 3}}', "no weight_map"),
        ('{"weight_map": {"w": "../w.safetensors"}}', "not a file of its own folder"),
        ('{"weight_map": {"w": ".."}}', "not a file of its own folder"),
        ('{"weight_map": {"w": "a\\u0000b"}}', "not a file of its own folder"),
        ('{"weight_map": {"w": "\\ud800"}}', "not a file of its own folder"),
        ('{"weight_map": {"w": "gone.safetensors"}}', "cannot be read"),
        ('{"weight_map": {"v": "part.safetensors"}}', "which has no such weight"),
    ],
)
def test_a_wrong_index(tmp_path: Path, index: str, words: str) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "part.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(StateDictError, match=words):
        read_state_dict(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StateDictError, match="no such file"):
        read_state_dict(tmp_path / "w.pt")
    with pytest.raises(StateDictError, match="it has no weights: none of"):
        read_state_dict(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(StateDictError, match="cannot be read"):
        read_state_dict(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_damaged_bytes(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 files with one byte changed are refused in a sentence, or read."""
    path = tmp_path / f"w.{kind}"
    given = {"w": torch.arange(6.0).reshape(2, 3), "v": torch.ones(2)}
    save_file(given, path) if kind == "safetensors" else torch.save(given, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    good, draw = path.read_bytes(), np.random.default_rng(0)
    messages: list[str] = []
    for at in range(0, len(good), max(1, len(good) // 400)):
        path.write_bytes(good[:at] + bytes([good[at] ^ int(draw.integers(1, 256))]) + good[at + 1 :])
        try:
            found = read_state_dict(path)
            materialise(found, found.views)
        except (ArchiveError, WeightError) as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)
