"""Programs for tests: the samples' files, and small ones drawn by hypothesis."""

from pathlib import Path

from hypothesis import strategies as st

from lowering.ir.location import Location
from lowering.ir.program import (
    Argument,
    Graph,
    Guard,
    InputKind,
    InputSpec,
    Node,
    Operator,
    OutputKind,
    OutputSpec,
    Program,
    Range,
    Ref,
    Signature,
)
from lowering.ir.symbols import Apply, Symbol
from lowering.ir.tree import LEAF, TreeSpec
from lowering.ir.types import (
    CPU,
    Device,
    DType,
    Layout,
    MemoryFormat,
    ObjectType,
    SymKind,
    SymType,
    TensorType,
    TokenType,
)

FILES = sorted((Path(__file__).parents[2] / "data" / "pt2").glob("*/*.pt2"))

names = st.text("abcxyz_0.é", min_size=1, max_size=6)
terms = st.recursive(
    st.integers(-(2**70), 2**70) | st.builds(Symbol, names),
    lambda inner: st.builds(Apply, names, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=5,
)
types = st.one_of(
    st.builds(
        TensorType,
        st.sampled_from(DType),
        st.lists(terms, max_size=3).map(tuple),
        st.lists(terms, max_size=3).map(tuple),
        terms,
        st.builds(Device, names, st.none() | st.integers(0, 8)),
        st.sampled_from(Layout),
        st.booleans(),
    ),
    st.builds(SymType, st.sampled_from(SymKind), terms | st.booleans() | st.floats(allow_nan=False)),
    st.builds(ObjectType, names),
    st.just(TokenType()),
)
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.complex_numbers(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from([*DType, *Layout, *MemoryFormat, CPU, Device("cuda", 1)]),
)
plain_args = st.recursive(
    literals | st.builds(Ref, names) | st.builds(Operator, names),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(names, inner, max_size=2),
    max_leaves=5,
)
outputs = st.none() | names | st.lists(st.none() | names, max_size=3).map(tuple)


def _graphs(args):
    nodes = st.builds(
        Node,
        names,
        names,
        st.lists(st.builds(Argument, names, args, st.booleans()), max_size=3).map(tuple),
        st.lists(outputs, max_size=2).map(tuple),
        st.builds(Location, st.text(max_size=9), names),
        st.booleans(),
    )
    many = st.lists(args, max_size=3).map(tuple)
    values = st.dictionaries(names, types, max_size=3)
    return st.builds(Graph, many, many, st.lists(nodes, max_size=3).map(tuple), values, names, st.booleans())


graphs = _graphs(plain_args | _graphs(plain_args))
trees = st.recursive(
    st.just(LEAF),
    lambda inner: st.builds(
        TreeSpec,
        names,
        st.none() | names,
        st.lists(inner, max_size=3).map(tuple),
        st.lists(names, max_size=2).map(tuple),
    ),
    max_leaves=4,
)
programs = st.builds(
    Program,
    graphs,
    st.builds(
        Signature,
        st.lists(
            st.builds(
                InputSpec, st.sampled_from(InputKind), names, st.none() | names, st.booleans(), literals
            ),
            max_size=2,
        ).map(tuple),
        st.lists(
            st.builds(OutputSpec, st.sampled_from(OutputKind), plain_args, st.none() | names), max_size=2
        ).map(tuple),
        trees,
        trees,
        st.lists(names, max_size=2).map(tuple),
    ),
    st.dictionaries(
        names, st.builds(Range, st.none() | st.integers(), st.none() | st.integers()), max_size=2
    ),
    st.dictionaries(names, st.integers(), max_size=2),
    st.lists(st.builds(Guard, names, terms.filter(lambda term: not isinstance(term, int))), max_size=2).map(
        tuple
    ),
    names,
    st.tuples(st.integers(0, 9), st.integers(0, 99)),
)
