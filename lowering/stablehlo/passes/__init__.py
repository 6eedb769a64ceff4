"""Passes over StableHLO modules: the canonical module becomes what one engine runs fastest, and runs right.

Each pass is a file of this folder: `rewrite(parsed, **options)` changes a `ParsedModule` in place. It never
changes the type of a result, and a value only by the order of roundings. It works on operations, so that
every rule that emits them has it. `lowering/targets/<name>/pipeline.py` lists the passes of an engine.

This file imports no pass, and so not jax: an artifact without jax asks for a pipeline's identity, the key of
binaries.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lowering.passes.pipeline import Option, Pass, Pipeline, PipelineError

if TYPE_CHECKING:
    from lowering.stablehlo.passes.parsed import ParsedModule

StableHloPass: TypeAlias = "Pass[ParsedModule]"
StableHloPipeline: TypeAlias = "Pipeline[ParsedModule]"


def stablehlo_pass(
    name: str,
    *,
    requires: tuple[str, ...] = (),
    ensures: tuple[str, ...] = (),
    required: bool = False,
    **options: Option,
) -> StableHloPass:
    """The pass in `<name>.py`, dashes being underscores, which is imported when it first runs.

    `options`: the arguments of its `rewrite`; False is the default of each, and is left out. Raises
    PipelineError for a name that no file has.
    """
    chosen = {option: value for option, value in options.items() if value is not False}

    def run(parsed: ParsedModule) -> ParsedModule:
        import_module(module_of(name)).rewrite(parsed, **chosen)
        return parsed

    return Pass(name, run, _summary(name), chosen, requires, ensures, required)


def stablehlo_pipeline(name: str, *passes: StableHloPass) -> StableHloPipeline:
    """A pipeline that MLIR verifies, and shows without large constants."""
    properties = {"no-dead-operations": lambda parsed: parsed.check_no_dead_operations()}
    return Pipeline(
        name,
        "StableHLO module",
        passes,
        lambda parsed: parsed.verify(),
        lambda parsed: parsed.text(),
        properties,
    )


def module_of(name: str) -> str:
    """The Python module that holds a pass."""
    return f"{__name__}.{name.replace('-', '_')}"


@cache
def _summary(name: str) -> str:
    """The first line of a pass's file."""
    try:
        with (Path(__file__).parent / f"{name.replace('-', '_')}.py").open() as stream:
            return stream.readline().strip().strip('"')
    except OSError:
        raise PipelineError(f"the pass {name} over StableHLO modules does not exist") from None
