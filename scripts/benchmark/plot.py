"""Draws what was measured: for each cell messages per second, and below them CPU."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from scripts.benchmark.contestants import CONTESTANTS
from scripts.stack.processes import ROOT

# Where fonts are remembered: by default that is the home folder, and nothing is written outside the repository.
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / "target" / "matplotlib"))

from matplotlib import rcParams
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

_COLUMNS = 5
_COLOURS = {"job": "#dc244c", "plain": "#7f8c9b", "best": "#4b6584", "upserts": "#d9dee4"}
_ROLES = {
    "JVM": (("JobManager", "TaskManager"), "#e6526f"),
    "Python": (("Python",), "#3572a5"),
    "Qdrant": (("Qdrant",), "#c8ced6"),
    "Kafka": (("Kafka",), "#e9ecef"),
}


def draw(summary: Mapping[str, Any], target: Path) -> None:
    """Write the plot as an SVG: the same bytes for the same numbers."""
    rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    cells = summary["cells"]
    columns, bands = min(len(cells), _COLUMNS), math.ceil(len(cells) / _COLUMNS)
    figure = Figure(figsize=(2.6 * columns + 1.4, 5.2 * bands), layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for place in range(columns * bands):
        above, below = axes[2 * (place // columns) : 2 * (place // columns) + 2, place % columns]
        if place < len(cells):
            _draw_rates(above, *list(cells.items())[place])
            _draw_cpu(below, list(cells.values())[place])
        else:
            above.set_axis_off()
            below.set_axis_off()
    axes[1, columns - 1].legend(frameon=False, fontsize=8)
    figure.supxlabel("   ".join(contestant.title for contestant in CONTESTANTS.values()), fontsize=9)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})


def _draw_rates(axes: Axes, cell: str, contestants: Mapping[str, Any]) -> None:
    axes.set_title(cell)
    rates = [of["messages_per_second"] for of in contestants.values()]
    bars = axes.bar(_labels(contestants), rates, color=[_COLOURS[name] for name in contestants])
    axes.bar_label(bars, [f"{rate:,}" for rate in rates], fontsize=7)
    axes.set_ylabel("messages/s")
    _tidy(axes)


def _draw_cpu(axes: Axes, contestants: Mapping[str, Any]) -> None:
    labels, below = _labels(contestants), [0.0] * len(contestants)
    for role, (parts, colour) in _ROLES.items():
        heights = [sum(of["cpu_seconds_per_100k"].get(part, 0.0) for part in parts) for of in contestants.values()]
        axes.bar(labels, heights, bottom=below, color=colour, label=role)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_ylabel("CPU s per 100,000")
    _tidy(axes)


def _labels(contestants: Mapping[str, Any]) -> list[str]:
    return [CONTESTANTS[name].title.partition(" ")[0].replace("the", "job") for name in contestants]


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
