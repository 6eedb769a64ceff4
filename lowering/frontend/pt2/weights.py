"""The weights of an archive: which payload each is a view of. Their bytes are not read here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowering.frontend.errors import ArchiveError
from lowering.frontend.pt2.archive import Archive
from lowering.frontend.pt2.errors import Malformed
from lowering.frontend.pt2.fields import as_boolean, as_name, as_record, each_entry, get
from lowering.frontend.pt2.values import TypeReader
from lowering.ir.program import STORED, Program
from lowering.ir.types import Layout, TensorType, view_nbytes
from lowering.ir.weights import Storage, Weights, WeightView, absent_storage

# Which folder of the archive holds what, and the file in it that says which payload is whose.
_FOLDERS = {
    "weights": "data/weights/{}_weights_config.json",
    "constants": "data/constants/{}_constants_config.json",
}


def read_weights(archive: Archive) -> Weights:
    """Parameters, buffers and tensor constants of the archive's model. Script objects are left out."""
    storages: dict[str, Storage] = {}
    views: dict[str, WeightView] = {}
    for folder, pattern in _FOLDERS.items():
        config = pattern.format(archive.model)
        if config not in archive:
            raise ArchiveError(archive.path, _missing(archive, folder, config))
        try:
            payloads = get(archive.document(config), "config", lambda value: each_entry(value, read_payload))
        except Malformed as problem:
            raise ArchiveError(archive.path, f"{config}: {problem}") from None
        for name, payload in payloads.items():
            if payload is None:
                continue
            file, type_ = payload
            key = f"{folder}/{file}"
            if key not in storages:
                storages[key] = archive.storage(f"data/{key}")
            if name in views:
                raise ArchiveError(archive.path, f"the weight {name!r} occurs twice")
            try:
                views[name] = view_of(key, storages[key], type_)
                if storages[key].nbytes == 0 and 0 not in views[name].sizes:
                    views[name] = _absent(name, views[name], storages)
            except Malformed as problem:
                raise ArchiveError(archive.path, f"the weight {name!r}: {problem}") from None
    return Weights(storages, views)


def _missing(archive: Archive, folder: str, config: str) -> str:
    if f"data/{folder}/{archive.model}.pt" in archive:
        return (
            f"the {folder} are one pickle, as torch 2.8 and earlier wrote them, which is not read: "
            "load the file and save it with torch 2.9 or later"
        )
    return f"the entry {config} is missing"


def read_payload(value: Any) -> tuple[str, TensorType] | None:
    """The file and the type of a weight; None for a script object."""
    record = as_record(value)
    file = get(record, "path_name", as_name)
    pickled = get(record, "use_pickle", as_boolean)
    if record.get("tensor_meta") is None:
        if pickled:
            return None
        raise Malformed("the weight has no type (tensor_meta)")
    if pickled:
        raise Malformed(
            "the weight is a pickle, as torch writes tensor subclasses (torchao's quantize_ makes such), and "
            "no pickle is read: use torch.export.save(exported.run_decompositions({}), path)"
        )
    return file, get(record, "tensor_meta", TypeReader().tensor)


def view_of(key: str, storage: Storage, type_: TensorType) -> WeightView:
    """A weight as a view of a storage that holds all of it, or of an empty one."""
    if type_.layout is not Layout.STRIDED:
        raise Malformed(f"the layout is {type_.layout.value}: only strided weights can be read")
    numbers = (*type_.sizes, *type_.strides, type_.offset)
    if not all(isinstance(number, int) for number in numbers):
        raise Malformed("the type has symbolic sizes, which a weight cannot have")
    *rest, offset = (number for number in numbers if isinstance(number, int))
    sizes, strides = tuple(rest[: type_.rank]), tuple(rest[type_.rank :])
    needed = view_nbytes(type_.dtype, sizes, strides, offset)
    # torch writes empty files for fake and meta tensors.
    if needed > storage.nbytes > 0:
        raise Malformed(f"the view needs {needed} bytes, but its storage {key} has {storage.nbytes}")
    return WeightView(key, type_.dtype, sizes, strides, offset)


def _absent(name: str, view: WeightView, storages: dict[str, Storage]) -> WeightView:
    """A weight without values, alone in a storage: torch writes no word of what fake tensors share."""
    key = f"absent/{name}"
    storages[key] = absent_storage(view_nbytes(view.dtype, view.sizes, view.strides, view.offset))
    return replace(view, storage=key)


def check_weights(program: Program, weights: Weights) -> None:
    """Every weight that the program names is there, with the dtype and the sizes that the program expects.

    Raises `Malformed`.
    """
    for spec in program.signature.inputs:
        if spec.kind not in STORED:
            continue
        view = weights.views.get(spec.fqn or "")
        if view is None:
            raise Malformed(f"the {spec.kind.value} {spec.fqn!r} has no weight")
        type_ = program.graph.values[spec.name]
        if not isinstance(type_, TensorType):
            raise Malformed(f"the {spec.kind.value} {spec.fqn!r} is not a tensor in the graph")
        if (type_.dtype, type_.sizes) != (view.dtype, view.sizes):
            raise Malformed(
                f"the {spec.kind.value} {spec.fqn!r} is {type_.dtype}{list(type_.sizes)} in the graph, "
                f"but its weight is {view.dtype}{list(view.sizes)}"
            )
