"""Shows what was measured, as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from scripts.benchmark.contestants import CONTESTANTS
from scripts.benchmark.results import CLIENT_ROLES, PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

_ROLES = {"JVM": ("JobManager", "TaskManager")}  # others have their own name
_SHOWN = ("JVM", "Python", "Qdrant", "Kafka")
_SCALED = ("JVM", "Python", "Store")
_SPEED = ("messages/s", "vs (a)", "MB/s", *_SHOWN, "vs (a)")
_ROOM = (*_SHOWN, "checkpoints", "median", "longest")


def show(console: Console, summary: Mapping[str, Any]) -> None:
    """Print one table of all cells, and one of latencies if there are any."""
    if summary["cells"]:
        console.print(_by_cell(summary, "Throughput, and CPU seconds per 100,000 messages", _SPEED, _speed))
        console.print(_by_cell(summary, "Peak memory in MB, and the job's checkpoints in ms", _ROOM, _room))
    if summary["latency"]:
        table = _table("Latency from Kafka's client to Qdrant, in ms", "cell", "settings", "messages/s", *PERCENTILES)
        for latency in summary["latency"]:
            times = [str(latency[f"{name}_ms"]) for name in PERCENTILES]
            table.add_row(latency["cell"], latency["settings"], f"{latency['messages_per_second']:,}", *times)
        console.print(table)
    for growth in summary.get("growth", ()):
        console.print(_growth(growth))
    if summary.get("scale"):
        console.print(_scale(summary["scale"]))


def _growth(growth: Mapping[str, Any]) -> Table:
    title = f"Resident MB at {growth['messages_per_second']:,} messages/s, {growth['cell']}, after the first minutes"
    table = _table(title, "process", "first", "last", "most", "a minute")
    for of in growth["processes"]:
        sizes = [f"{of[name]:.0f}" for name in ("first_mb", "last_mb", "peak_mb")]
        table.add_row(f"{of['role']} {of['pid']}", *sizes, f"{of['mb_per_minute']:+.2f}")
    return table


def _scale(found: Sequence[Mapping[str, Any]]) -> Table:
    title = "Before a store that answers at once; CPU seconds per 100,000 messages; from MB on, of the whole run"
    columns = ("slots", "lanes", "messages/s", *_SCALED, "MB", "median ms", "channels", "points")
    table = _table(title, "cell", *columns)
    for of in found:
        memory = of["peak_memory_mb"]
        table.add_row(
            of["cell"],
            str(of["slots"]),
            str(of["lanes"] or "none"),
            f"{of['messages_per_second']:,}" + ("!" if of["ran_dry"] else ""),
            *_by_role(of["cpu_seconds_per_100k"], ".1f", _SCALED),
            f"{sum(memory[role] for role in CLIENT_ROLES if role in memory):,}",
            f"{of['checkpoints']['p50_ms']:.0f}",
            *[f"{of[name]:,}" for name in ("connections", "points_per_request")],
        )
    return table


def _by_cell(
    summary: Mapping[str, Any], title: str, columns: Sequence[str], row: Callable[[Mapping[str, Any]], list[str]]
) -> Table:
    table = _table(title, "contestant", *columns)
    for cell, contestants in summary["cells"].items():
        table.add_section()
        table.add_row(f"[bold]{cell}[/bold]")
        for name, of in contestants.items():
            table.add_row(CONTESTANTS[name].title, *row(of))
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _speed(of: Mapping[str, Any]) -> list[str]:
    cpu = of["cpu_seconds_per_100k"]
    return [
        f"{of['messages_per_second']:,}",
        _ratio(of, "messages_ratio"),
        f"{of['mb_per_second']:.1f}",
        *_by_role(cpu, ".1f"),
        _ratio(of, "cpu_ratio"),
    ]


def _room(of: Mapping[str, Any]) -> list[str]:
    took = of["checkpoints"]
    shown = [f"{took[name]:.0f}" for name in ("completed", "p50_ms", "max_ms")] if took else ["", "", ""]
    return [*_by_role(of["peak_memory_mb"], ".0f"), *shown]


def _by_role(of: Mapping[str, float], form: str, shown: Sequence[str] = _SHOWN) -> list[str]:
    sums = [[of[role] for role in _ROLES.get(name, (name,)) if role in of] for name in shown]
    return [format(sum(found), form) if found else "" for found in sums]


def _ratio(of: Mapping[str, Any], name: str) -> str:
    return f"{of[name]:.2f}" if name in of else ""
