"""More of PyTorch's own databases as judges: examples of export, higher-order operators, modules.

Every case is a module and several calls of it. `python -m tests.databases` runs them all and writes
docs/databases.md.
"""
