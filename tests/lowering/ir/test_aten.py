"""The table of ATen's overloads is the installed torch's, and what the schemas leave out is right."""

import importlib
import importlib.util
import runpy
from pathlib import Path

import pytest
import torch

from lowering.ir import aten
from lowering.ir.aten import REQUIRED, SchemaError, schema
from lowering.ir.homes import HOMES
from lowering.ir.program import Argument, Ref
from lowering.ir.types import DType, MemoryFormat

GENERATOR = runpy.run_path(str(Path(__file__).parents[3] / "third_party" / "generate_aten_table.py"))
operator = GENERATOR["operator"]


def test_the_table_is_the_installed_torchs():
    version = torch.__version__.partition("+")[0]
    assert GENERATOR["TABLE"].read_text() == GENERATOR["text"](GENERATOR["rows"](), version)


def test_the_rows_of_packages_are_what_is_installed():
    """Of those that are: none of them need be."""
    for target, signature in GENERATOR["OF_PACKAGES"].items():
        namespace = target.partition(".")[0]
        if importlib.util.find_spec(namespace) is not None:
            importlib.import_module(HOMES[namespace])
            assert str(operator(target)._schema).partition("(")[2] == signature.partition("(")[2], target


def test_every_schema_parses_to_what_torch_says():
    GENERATOR["rows"]()
    everything = [t for namespace in GENERATOR["NAMESPACES"] for t in aten.targets(namespace)]
    for target in everything:
        if target in GENERATOR["CORRECTED"]:
            continue
        ours, theirs = schema(target), operator(target)._schema
        assert [p.name for p in ours.parameters] == [a.name for a in theirs.arguments]
        for parameter, argument in zip(ours.parameters, theirs.arguments, strict=True):
            assert parameter.keyword == argument.kwarg_only
            assert parameter.writes == bool(argument.alias_info and argument.alias_info.is_write)
            assert bool(parameter.alias) == bool(argument.alias_info)
            assert (parameter.default is not REQUIRED) == argument.has_default_value(), target
            if parameter.default is not REQUIRED and parameter.type != "MemoryFormat":
                assert _same(parameter.default, argument.default_value, parameter.type), (target, parameter)
        assert [bool(r.alias) for r in ours.returns] == [bool(r.alias_info) for r in theirs.returns], target
        assert [r.writes for r in ours.returns] == [
            bool(r.alias_info and r.alias_info.is_write) for r in theirs.returns
        ]


def _same(ours, theirs, kind):
    if isinstance(theirs, list):
        ours = ours if isinstance(ours, tuple) else (ours,) * len(theirs)
        return len(ours) == len(theirs) and all(_same(a, b, kind) for a, b in zip(ours, theirs, strict=True))
    if isinstance(ours, DType):
        return torch.ops.aten.empty.memory_format([0], dtype=theirs).dtype is getattr(torch, ours.value)
    return ours == theirs and (type(ours) is type(theirs) or kind.startswith("Scalar"))


def test_torchs_numbers_of_dtypes():
    for number, dtype in aten._SCALAR_TYPES.items():
        assert _same(dtype, int(number), "ScalarType")
    assert set(aten._SCALAR_TYPES.values()) == set(DType)


def test_binding_fills_defaults_by_name():
    bound = schema("aten.add.Tensor").bind((Argument("self", Ref("x")), Argument("other", 2)))
    assert bound == {"self": Ref("x"), "other": 2, "alpha": 1}
    bound = schema("aten.contiguous.default").bind((Argument("", Ref("x")),))
    assert bound == {"self": Ref("x"), "memory_format": MemoryFormat.CONTIGUOUS}
    assert schema("aten.conv2d.default").bind(
        (Argument("input", Ref("x")), Argument("weight", Ref("w")), Argument("padding", (2, 2)))
    ) == {
        "input": Ref("x"),
        "weight": Ref("w"),
        "bias": None,
        "stride": (1, 1),
        "padding": (2, 2),
        "dilation": (1, 1),
        "groups": 1,
    }


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (Argument("self", 1), Argument("beta", 1)),
            "add.Tensor has no argument 'beta'; it takes self,",
        ),
        ((Argument("self", 1),), "aten.add.Tensor is not given 'other'"),
        ((Argument("self", 1), Argument("self", 1)), "aten.add.Tensor is given 'self' twice"),
        ((Argument("", 1),) * 4, "aten.add.Tensor takes 3 arguments"),
    ],
)
def test_what_does_not_fit_is_refused(args, message):
    with pytest.raises(SchemaError, match=message):
        schema("aten.add.Tensor").bind(args)


def test_unknown_operators_have_no_schema():
    assert schema("aten.no_such.default") is None
    assert schema("higher_order.cond") is None


def test_tags_and_composites():
    assert "core" in schema("aten.relu.default").tags
    assert "pointwise" in schema("aten.relu.default").tags
    assert "nondeterministic_seeded" in schema("aten.bernoulli.default").tags
    assert schema("aten.reshape.default").composite_implicit
    assert not schema("aten.view.default").composite_implicit


def bind(target, **given):
    return schema(target).bind(tuple(Argument(name, value) for name, value in given.items()))


def test_written_arguments():
    norm = {"input": Ref("x"), "weight": None, "bias": None, "momentum": 0.1, "eps": 1e-5}
    stats = {"running_mean": Ref("m"), "running_var": Ref("v")}
    train = bind("aten.batch_norm.default", **norm, **stats, training=True, cudnn_enabled=False)
    assert schema("aten.batch_norm.default").written(train) == ("running_mean", "running_var")
    assert schema("aten.batch_norm.default").written(train | {"training": False}) == ()
    assert (
        schema("aten.batch_norm.default").written(train | {"running_mean": None, "running_var": None}) == ()
    )
    assert schema("aten.relu_.default").written(bind("aten.relu_.default", self=Ref("x"))) == ("self",)
    assert schema("aten.relu_.default").written_return(0) == "self"
    assert schema("aten.relu.default").written(bind("aten.relu.default", self=Ref("x"))) == ()
    assert schema("aten.requires_grad_.default").written({"self": Ref("x")}) == ()


STATS = [
    ("aten.batch_norm.default", {"training": True}, True),
    ("aten.batch_norm.default", {"training": False}, False),
    ("aten.instance_norm.default", {"use_input_stats": True}, True),
    ("aten.instance_norm.default", {"use_input_stats": False}, False),
    ("aten.native_batch_norm.default", {"training": True}, True),
    ("aten.native_batch_norm.default", {"training": False}, False),
    ("aten._native_batch_norm_legit.default", {"training": True}, True),
    ("aten._native_batch_norm_legit.default", {"training": False}, False),
    ("aten._batch_norm_impl_index.default", {"training": True}, True),
    ("aten._batch_norm_impl_index.default", {"training": False}, False),
    ("aten._batch_norm_with_update.default", {}, True),
    ("aten._native_batch_norm_legit_no_training.default", {}, False),
]


@pytest.mark.parametrize(("target", "flags", "writes"), STATS)
def test_running_statistics_are_written_exactly_when_the_table_says(target, flags, writes):
    given = {
        "input": torch.rand(2, 3, 4, 4),
        "weight": None,
        "bias": None,
        "running_mean": torch.zeros(3),
        "running_var": torch.ones(3),
        "momentum": 0.1,
        "eps": 1e-5,
        "cudnn_enabled": False,
        **flags,
    }
    given = {p.name: given[p.name] for p in schema(target).parameters}
    before = {name: value.clone() for name, value in given.items() if isinstance(value, torch.Tensor)}
    operator(target)(*given.values())
    changed = tuple(name for name, value in before.items() if not torch.equal(value, given[name]))
    assert changed == (("running_mean", "running_var") if writes else ())
    assert schema(target).written(given) == changed


X, V = torch.rand(4, 4), torch.rand(4)
ALIASING = {
    "aten._cast_Float.default": (X,),
    "aten._unsafe_view.default": (X, [16]),
    "aten.atleast_1d.default": (X,),
    "aten.atleast_2d.default": (V,),
    "aten.atleast_3d.default": (X,),
    "aten.chalf.default": (V.to(torch.complex32),),
    "aten.conj_physical.default": (X,),
    "aten.data.default": (X,),
    "aten.lift.default": (X,),
    "aten.sum_to_size.default": (X, [4, 4]),
    "aten.to_dense.default": (X,),
    "aten.type_as.default": (X, X),
    "aten.unsafe_chunk.default": (X, 2),
    "aten.unsafe_split_with_sizes.default": (X, [1, 3]),
    "aten.unsafe_split.Tensor": (X, 2),
    "aten.dequantize.self": (X,),
    "aten.alpha_dropout.default": (X, 0.5, False),
    "aten.dropout.default": (X, 0.5, False),
    "aten.feature_alpha_dropout.default": (X, 0.5, False),
    "aten.feature_dropout.default": (X, 0.5, False),
    "aten.atleast_1d.Sequence": ([X],),
    "aten.broadcast_tensors.default": ([X, V],),
    "aten.cartesian_prod.default": ([V],),
    "aten.einsum.default": ("ij->ji", [X]),
    "aten.flatten_dense_tensors.default": ([X],),
    "aten.meshgrid.default": ([V, V],),
    "aten.unflatten_dense_tensors.default": (V, [V]),
    # Declared by their schemas.
    "aten.reshape.default": (X, [16]),
    "aten.contiguous.default": (X,),
    "aten.to.dtype": (X, torch.float32),
    "aten.flatten.using_ints": (X,),
    "aten.expand_as.default": (V, X),
    "aten.unflatten.int": (X, 0, [2, 2]),
    "aten.squeeze.default": (X,),
    "aten.chunk.default": (X, 2),
    "aten.narrow.default": (X, 0, 1, 2),
    "aten.tensor_split.sections": (X, 2),
    "aten.hsplit.int": (X, 2),
    "aten.movedim.int": (X, 0, 1),
    "aten.swapaxes.default": (X, 0, 1),
    "aten.broadcast_to.default": (V, [4, 4]),
    "aten.real.default": (X,),
    "aten.conj.default": (X,),
    "aten.resolve_conj.default": (X,),
    "aten.resolve_neg.default": (X,),
    "aten.view_as.default": (X, X),
    "aten.ravel.default": (X,),
    "aten.matrix_H.default": (X,),
    "aten.adjoint.default": (X,),
    "aten.mT.default": (X,),
    "aten.mH.default": (X,),
    "aten.numpy_T.default": (X,),
    "aten.positive.default": (X,),
}
COPYING = {
    "aten.pad.default": (X, [0, 0]),
    "aten.constant_pad_nd.default": (X, [0, 0]),
    "aten.tile.default": (X, [1, 1]),
    "aten.repeat.default": (X, [1, 1]),
    "aten.roll.default": (X, [0], [0]),
    "aten.flip.default": (X, []),
    "aten.cat.default": ([X],),
    "aten.linalg_multi_dot.default": ([X, X],),
    "aten.linalg_matrix_power.default": (X, 1),
    "aten.pixel_shuffle.default": (torch.rand(1, 4, 4, 4), 1),
    "aten.native_dropout.default": (X, 0.0, False),
    "aten.floor.default": (torch.arange(4),),
    "aten.repeat_interleave.self_int": (X, 1),
    "aten.lift_fresh_copy.default": (X,),
    "aten.upsample_nearest2d.vec": (torch.rand(1, 1, 4, 4), [4, 4], None),
}


def _storages(value):
    items = value if isinstance(value, (list, tuple)) else [value]
    return {item.untyped_storage().data_ptr() for item in items if isinstance(item, torch.Tensor)}


@pytest.mark.parametrize("target", ALIASING)
def test_results_that_share_memory_are_known_to(target):
    args = ALIASING[target]
    names = schema(target).aliased(0)
    assert names
    given = dict(zip((p.name for p in schema(target).parameters), args, strict=False))
    assert _storages(operator(target)(*args)) & set().union(*(_storages(given[name]) for name in names))


@pytest.mark.parametrize("target", COPYING)
def test_results_that_are_copies_are_known_to_be(target):
    args = COPYING[target]
    assert schema(target).aliased(0) == ()
    assert not _storages(operator(target)(*args)) & set().union(*map(_storages, args))


def test_the_hand_written_tables_name_real_arguments():
    for target, names in aten.SOMETIMES_ALIASES.items():
        found = schema(target)
        assert found is not None, target
        assert set(names) <= {p.name for p in found.parameters}
        assert not any(r.alias for r in found.returns), f"{target} has its alias in the schema"
