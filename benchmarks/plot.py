"""The plot of docs/: each model's ratio to eager by side, a panel per dtype, batch and number of cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.records import Row
from benchmarks.sides import OURS

# Others hollow and grey to blue, Bridge filled and warm: told apart without colour too.
MARKS = {
    "compile": ("v", "#999999"),
    "frozen": ("^", "#555555"),
    "onnxruntime": ("s", "#4477aa"),
    "openvino": ("D", "#66ccee"),
    "xla": ("o", "#ee6677"),
    "iree": ("o", "#ccbb44"),
    "aten": ("o", "#ddaa99"),
    "auto": ("*", "#aa3377"),
}


def draw(rows: Sequence[Row], titles: Mapping[str, str], path: Path) -> None:
    """Write an SVG; the same rows give the same bytes."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bridge"
    from matplotlib import pyplot

    panels = sorted({(row["pinned"], row["dtype"] != "float32", row["dtype"], row["batch"]) for row in rows})
    names = [name for name in CASES if any(row["model"] == name for row in rows)]
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(6 * columns, lines * (1.2 + 0.33 * len(names))), squeeze=False, sharey=True
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (pinned, _, dtype, batch) in zip(axes.flat, panels, strict=False):
        chosen = [r for r in rows if (r["pinned"], r["dtype"], r["batch"]) == (pinned, dtype, batch)]
        for side, (marker, colour) in MARKS.items():
            points = [
                (row["sides"][side]["ratio"], names.index(row["model"]))
                for row in chosen
                if "ratio" in row["sides"].get(side, {})
            ]
            if points:
                axis.plot(
                    [ratio[1] for ratio, _ in points],
                    [place for _, place in points],
                    linestyle="none",
                    marker=marker,
                    color=colour,
                    markersize=10 if marker == "*" else 6,
                    markerfacecolor=colour if side in OURS else "none",
                    label=titles[side],
                )
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xticks([0.1, 0.25, 0.5, 1, 2, 4], ["0.1", "0.25", "0.5", "1", "2", "4"])
        axis.minorticks_off()
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="y", color="#eeeeee")
        axis.set_title(f"{dtype}, batch {batch}, {'one core' if pinned else 'all cores'}", fontsize=10)
        axis.set_xlabel("time as a ratio to eager's")
    handles = {label: h for a in figure.axes for h, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.6 / figure.get_figheight(), 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
