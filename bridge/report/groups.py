"""Groups of a graph: those that say nothing become one with their item, and those of too many are divided."""

from __future__ import annotations

from collections import Counter
from typing import Any

# Title, the group around it, placement.
GroupRow = tuple[str, int, str]

# A group of more operators is divided into groups of so many.
MOST, PART = 200, 100


def divided(groups: list[GroupRow], nodes: list[dict[str, Any]]) -> list[GroupRow]:
    """The groups, and new ones for successive operators of a group that has too many, with their weights.

    A node's `group` is changed.
    """
    found = list(groups)
    operators = Counter(node["group"] for node in nodes if node["kind"] == "operator")
    seen: Counter[int] = Counter()
    parts: dict[tuple[int, int], int] = {}
    for node in nodes:
        group = node["group"]
        if operators[group] <= MOST or node["kind"] not in ("operator", "weight"):
            continue
        first = seen[group] // PART * PART
        if (group, first) not in parts:
            last = min(first + PART, operators[group])
            found.append((f"operators {first + 1} to {last}", group, ""))
            parts[group, first] = len(found) - 1
        node["group"] = parts[group, first]
        seen[group] += node["kind"] == "operator"
    return found


def joined(groups: list[GroupRow], nodes: list[dict[str, Any]]) -> list[GroupRow]:
    """The groups that stay. A group of one group is one with it; a single operator leaves its group.

    A node's `group` and `title` are changed. A group stands after the group around it, before and after. The
    outermost group and those with a placement stay.
    """
    children = Counter(parent for _, parent, _ in groups)
    members = Counter(node["group"] for node in nodes)
    operators = Counter(node["group"] for node in nodes if node["kind"] == "operator")
    titles = [title for title, _, _ in groups]
    parents = [parent for _, parent, _ in groups]
    goes = [False] * len(groups)
    for index, (_, parent, placement) in enumerate(groups):
        if parent < 0 or placement:
            continue
        if goes[parent]:
            titles[index] = f"{titles[parent]}.{titles[index]}"
            parents[index] = parents[parent]
        alone = not members[index] and children[index] == 1
        goes[index] = alone or (not children[index] and operators[index] == 1)
    for node in nodes:
        group = node["group"]
        if goes[group]:
            if node["kind"] == "operator":
                node["title"] = f"{titles[group]}: {node['title']}"
            node["group"] = parents[group]
    stays = [index for index in range(len(groups)) if not goes[index]]
    numbers = {index: number for number, index in enumerate(stays)}
    for node in nodes:
        node["group"] = numbers[node["group"]]
    return [(titles[i], numbers.get(parents[i], -1), groups[i][2]) for i in stays]
