"""`bridge visualize`: a program as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.limits import MaxMemory, Timeout, limit
from bridge.cli.options import Imports, Model, Source, Trust, open_source, write_file
from bridge.cli.progress import working
from bridge.errors import UsageError
from bridge.graphviz import drawn
from bridge.lowered import Lowered
from bridge.report.document import graph_page
from lowering.render.dot import print_dot
from lowering.render.drawing import MAX_NODES, draw
from lowering.render.mermaid import print_mermaid
from lowering.render.model_explorer import to_model_explorer
from lowering.render.picture import Picture

# A picture is folded to a size; a viewer gets everything, and folds it itself.
_PICTURES: dict[str, Callable[[Picture], bytes]] = {
    ".mmd": lambda picture: print_mermaid(picture).encode(),
    ".dot": lambda picture: print_dot(picture).encode(),
    ".svg": lambda picture: drawn(print_dot(picture), "svg"),
    ".png": lambda picture: drawn(print_dot(picture), "png"),
}
_VIEWERS: dict[str, Callable[[Lowered, str], bytes]] = {
    ".html": lambda lowered, title: graph_page(lowered, title).encode(),
    ".json": lambda lowered, title: json.dumps(to_model_explorer(lowered.functional, lowered.plan)).encode(),
}


def command(
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file: .mmd, .dot, .svg, .png, .html, or .json for Model Explorer; default: print .mmd.",
        ),
    ] = None,
    max_nodes: Annotated[
        int | None,
        typer.Option(help=f"Boxes at most; modules are folded. Default: {MAX_NODES}.", show_default=False),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="How deep modules are open; 0: none.", show_default=False)
    ] = None,
    imports: Imports = None,
    model: Model = None,
    trust: Trust = False,
    timeout: Timeout = None,
    max_memory: MaxMemory = None,
) -> None:
    """Draw a program: operators, weights, modules, segments and where they run."""
    limit(timeout, max_memory)
    form = ".mmd" if output is None else output.suffix.lower()
    if form not in _PICTURES and form not in _VIEWERS:
        raise UsageError(f"{output}: a picture is one of {', '.join((*_PICTURES, *_VIEWERS))}")
    if form in _VIEWERS and (max_nodes is not None or depth is not None):
        raise UsageError(f"--max-nodes and --depth are for pictures: {form} has every node, and folds itself")
    with working(f"drawing {source}"):
        lowered = open_source(source, imports, model, trust)
        if form in _VIEWERS:
            data = _VIEWERS[form](lowered, lowered.program.name or source.name)
        else:
            most = MAX_NODES if max_nodes is None else max_nodes
            data = _PICTURES[form](draw(lowered.functional, lowered.plan, depth, most))
    if output is None:
        print(data.decode(), end="")
    else:
        write_file(output, data)
