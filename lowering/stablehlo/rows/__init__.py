"""Proofs that a module may be run at a larger size, and its results cut: no operation mixes the rows.

For one symbol, the batch size, each value of a module for all sizes is in one of three states. Let the module
run at a size, and at a larger one whose arguments repeat the last row:

- `Same`: the value is the same at both.
- `Rows`: the value has one batch axis, and its first rows at the larger size are the value at the smaller.
- `Mixed`: nothing is known, for the reason that it bears.

`flow.py` goes over the operations in their order. A rule for each kind of operation gives the states of its
results: `shapes.py`, `contractions.py`, `lookups.py` and `regions.py`. An operation without a rule mixes.
`proof.py` is the pass.
"""
