"""All pipelines, in the order in which a model meets them, as `bridge passes` lists them.

A target's pipelines are in `lowering/targets/<name>/pipeline.py`; a name in `lowering.targets.WITH_PIPELINES`
is all that makes them known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from bridge.errors import UsageError
from lowering.ir.errors import did_you_mean
from lowering.passes.pipeline import Pipeline
from lowering.targets import WITH_PIPELINES, pipelines


class Family(NamedTuple):
    """Pipelines of one owner.

    `target`: the engine that they are for, or empty: they run for all. `make`: gives them; it may import what
    the target needs.
    """

    target: str
    make: Callable[[], Iterable[Pipeline[Any]]]


def _of_exported() -> Iterator[Pipeline[Any]]:
    from lowering.frontend.pipeline import EXPORT

    yield EXPORT


def _of_programs() -> Iterator[Pipeline[Any]]:
    from lowering.passes.pipelines import IMPORT, adapted, canonical

    yield IMPORT
    yield canonical()
    yield adapted()


def _of_modules() -> Iterator[Pipeline[Any]]:
    from lowering.stablehlo.pipeline import emitted, for_all_sizes

    yield emitted()
    yield for_all_sizes()


PIPELINES = (
    Family("", _of_exported),
    Family("", _of_programs),
    Family("", _of_modules),
    *(Family(name, partial(pipelines, name)) for name in WITH_PIPELINES),
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
            "subject": pipeline.subject,
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


def check_passes(names: Iterable[str]) -> None:
    """Raise UsageError for a name that no pass has. Pipelines are made until all names are found."""
    missing, known = list(names), list[str]()
    left = all_pipelines()
    while missing and (found := next(left, None)) is not None:
        known += [item.name for item in found[1].passes]
        missing = [name for name in missing if name not in known]
    if missing:
        near = did_you_mean(missing[0], known)
        raise UsageError(f"the pass {missing[0]!r} is not among those that `bridge passes` lists{near}")
