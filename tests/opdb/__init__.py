"""PyTorch's own operator database as the judge: `python -m tests.opdb --engine xla --dtype float32`.

Every sample input of `op_db` is exported as a program of its own, lowered, run on an engine and compared with
eager. A case ends in one word (`cases.Word`); the words of a run are kept under `out/opdb`, and
`python -m tests.opdb --report` writes what docs/ says of them.
"""
