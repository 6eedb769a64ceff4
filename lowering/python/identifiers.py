"""Names in source. A program's names are untrusted: each becomes an identifier, or a quoted string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from keyword import iskeyword, issoftkeyword

# Names that a forward reads: a variable of the same name would hide them.
_READ = frozenset("F Tensor collections complex float getattr nn range self setattr super torch".split())
# Attributes of a module that the source itself uses. A weight or a module of such a name would replace them.
RESERVED = frozenset(
    "eval forward get_submodule load_constants register_buffer register_parameter add_module training".split()
)
_MAX = 60


def is_identifier(text: str) -> bool:
    """Whether text may follow a dot as it is: ASCII, not a keyword, not a name that a class changes."""
    return text.isascii() and text.isidentifier() and not iskeyword(text) and text[:2] != "__"


def identifier(text: str, fallback: str = "value") -> str:
    """An identifier like some text; `fallback` where nothing of it can stay."""
    plain = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:_MAX]
    if plain[:1].isdigit():
        plain = f"{fallback}_{plain}"
    if iskeyword(plain) or issoftkeyword(plain):
        plain += "_"
    return plain or fallback


def class_name(text: str) -> str:
    """The name of a class: `self_attention` gives `SelfAttention`, `MLP` stays."""
    parts = [part for part in re.split(r"[\W_]+", text, flags=re.ASCII) if part]
    name = "".join(part[0].upper() + part[1:] for part in parts)[:_MAX]
    return name if name and not name[0].isdigit() and not iskeyword(name) else f"Module{name}"


class Names:
    """The names of one scope, each given once."""

    def __init__(self, taken: Iterable[str] = (), between: str = "_") -> None:
        self._taken = {*_READ, *taken}
        self._between = between

    def first(self, choices: Sequence[str]) -> str:
        """The first choice that is free; or the last one with a number."""
        return self.fresh(next((name for name in choices if name not in self._taken), choices[-1]))

    def fresh(self, base: str) -> str:
        """`base`, or `base_1`, `base_2`, ...; `Base2`, `Base3`, ... where nothing stands between."""
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}{self._between}{count + 1}" if not self._between else f"{base}_{count}"
        self._taken.add(name)
        return name


_SHORT = {
    "scaled_dot_product_attention": "attention",
    "embedding": "embedded",
    "slice": "part",
    "sym_size": "size",
}


def base_of(target: str) -> str:
    """A variable's name for what an operator gives: `aten.view.default` gives `view`."""
    name = target.split(".")[1] if "." in target else target
    return _SHORT.get(name, identifier(name.lower()))
