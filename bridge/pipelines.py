"""All pipelines, in the order in which a model meets them: what `bridge passes` lists.

A target's pipelines are in `lowering/targets/<name>/pipeline.py`; its row here is all that makes them known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from bridge.errors import UsageError
from lowering.passes.pipeline import Pipeline
from runtime.argument_paths import did_you_mean


class Family(NamedTuple):
    """Pipelines of one owner.

    `target`: the engine that they are for, or empty: they run for all. `subject`: what they rewrite.
    `make`: gives them; it imports neither torch nor an engine.
    """

    target: str
    subject: str
    make: Callable[[], Iterable[Pipeline[Any]]]


def _of_programs() -> Iterator[Pipeline[Any]]:
    from lowering.passes.pipelines import IMPORT, canonical

    yield IMPORT
    yield canonical()


def _from(module: str) -> Callable[[], Iterable[Pipeline[Any]]]:
    """What `pipelines()` of a module gives."""
    return lambda: import_module(module).pipelines()


PIPELINES = (
    Family("", "program", _of_programs),
    Family("aten", "segment", _from("lowering.targets.aten.pipeline")),
)


def all_pipelines() -> Iterator[tuple[Family, Pipeline[Any]]]:
    """Each pipeline, with the row that it is of."""
    for family in PIPELINES:
        for pipeline in family.make():
            yield family, pipeline


def described() -> list[dict[str, Any]]:
    """Each pipeline as plain data: `name`, `target` (null: all), `subject`, and `passes`, in their order."""
    return [
        {
            "name": pipeline.name,
            "target": family.target or None,
            "subject": family.subject,
            "passes": [
                {
                    "name": item.name,
                    "options": dict(item.options),
                    "summary": item.summary,
                    "requires": list(item.requires),
                    "ensures": list(item.ensures),
                    "required": item.required,
                }
                for item in pipeline.passes
            ],
        }
        for family, pipeline in all_pipelines()
    ]


def check_passes(names: Sequence[str]) -> None:
    """Raise UsageError for a name that no pass has."""
    if not names:
        return
    known = list(dict.fromkeys(item.name for _, pipeline in all_pipelines() for item in pipeline.passes))
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no pass {name!r}{did_you_mean(name, known)}; `bridge passes` lists all"
            )
