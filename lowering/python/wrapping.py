"""Long lines of source as several."""

from __future__ import annotations

WIDTH = 100


def wrapped(line: str, indent: int) -> list[str]:
    """A line, or where it is too long its outermost brackets' content on lines of its own."""
    if len(line) <= WIDTH:
        return [line]
    opening = _outermost(line)
    if opening is None:
        return [line]
    closing = _closing(line, opening)
    pad = " " * (indent + 4)
    inside = line[opening + 1 : closing]
    lines = [line[: opening + 1]]
    if len(pad + inside) <= WIDTH:
        lines.append(pad + inside)
    else:
        lines += [text for item in _items(inside) for text in wrapped(f"{pad}{item},", indent + 4)]
    return [*lines, f"{' ' * indent}{line[closing:]}"]


def _outermost(line: str) -> int | None:
    """The place of the bracket whose content is longest, among those outside any other."""
    best: tuple[int, int] | None = None
    place = 0
    while place < len(line):
        if line[place] in "'\"":
            place = _string_end(line, place)
        elif line[place] in "([{":
            end = _closing(line, place)
            if best is None or end - place > best[0]:
                best = (end - place, place)
            place = end
        place += 1
    return best[1] if best is not None and best[0] > 20 else None


def _string_end(line: str, place: int) -> int:
    mark, place = line[place], place + 1
    while line[place] != mark:
        place += 2 if line[place] == "\\" else 1
    return place


def _closing(line: str, opening: int) -> int:
    depth, place = 0, opening
    while True:
        if line[place] in "'\"":
            place = _string_end(line, place)
        depth += (line[place] in "([{") - (line[place] in ")]}")
        if depth == 0:
            return place
        place += 1


def _items(text: str) -> list[str]:
    """Split at the commas outside brackets and strings."""
    items: list[str] = []
    start = place = 0
    while place < len(text):
        if text[place] in "'\"":
            place = _string_end(text, place)
        elif text[place] in "([{":
            place = _closing(text, place)
        elif text[place] == ",":
            items.append(text[start:place].strip())
            start = place + 1
        place += 1
    last = text[start:].strip()
    return [*items, last] if last else items
