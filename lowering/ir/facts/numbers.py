"""The functions of Python numbers that a program may hold: arithmetic of sizes, and no other of Python's."""

from __future__ import annotations

_NAMES = {
    "_operator": """
            abs add and_ eq floordiv ge getitem gt le lshift lt mod mul ne neg not_ or_ pos pow
            rshift sub truediv xor
        """,
    "builtins": """
            abs max min round
        """,
    "math": """
            acos asin atan ceil cos cosh exp floor log log2 pow sin sinh sqrt tan tanh trunc
        """,
    "torch": """
            _sym_acos _sym_asin _sym_atan _sym_ceil _sym_cos _sym_cosh _sym_exp _sym_floor
            _sym_log _sym_log2 _sym_sin _sym_sinh _sym_sqrt _sym_tan _sym_tanh _sym_trunc
            sym_acos sym_asin sym_atan sym_ceil sym_cos sym_cosh sym_exp sym_float sym_floor
            sym_int sym_ite sym_log sym_log2 sym_max sym_min sym_not sym_sin sym_sinh sym_sqrt
            sym_tan sym_tanh sym_trunc
        """,
}

#: By target. `lowering/targets/aten/operators.py` has the functions.
OF_NUMBERS = frozenset(f"{module}.{name}" for module, names in _NAMES.items() for name in names.split())
