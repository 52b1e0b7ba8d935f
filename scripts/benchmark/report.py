"""Shows what was measured, as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from scripts.benchmark.contestants import CONTESTANTS
from scripts.benchmark.results import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_JAVA = ("JobManager", "TaskManager")
_COLUMNS = (
    "messages/s",
    "vs (a)",
    "MB/s",
    "JVM",
    "Python",
    "Qdrant",
    "Kafka",
    "vs (a)",
    "JVM MB",
    "Python MB",
    "Qdrant MB",
    "p50/max ms",
)


def show(console: Console, summary: Mapping[str, Any]) -> None:
    """Print one table of all cells, and one of latencies if there are any."""
    if summary["cells"]:
        table = _table("Throughput; CPU in seconds per 100,000 messages; checkpoints", "contestant", *_COLUMNS)
        for cell, contestants in summary["cells"].items():
            table.add_section()
            table.add_row(f"[bold]{cell}[/bold]")
            for name, of in contestants.items():
                table.add_row(CONTESTANTS[name].title, *_cells(of))
        console.print(table)
    if summary["latency"]:
        table = _table("Latency from Kafka's client to Qdrant, in ms", "cell", "settings", "messages/s", *PERCENTILES)
        for latency in summary["latency"]:
            times = [str(latency[f"{name}_ms"]) for name in PERCENTILES]
            table.add_row(latency["cell"], latency["settings"], f"{latency['messages_per_second']:,}", *times)
        console.print(table)


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _cells(of: Mapping[str, Any]) -> list[str]:
    cpu, memory, checkpoints = of["cpu_seconds_per_100k"], of["peak_memory_mb"], of["checkpoints"]
    return [
        f"{of['messages_per_second']:,}",
        _ratio(of, "messages_ratio"),
        f"{of['mb_per_second']:.1f}",
        _sum(cpu, *_JAVA),
        _sum(cpu, "Python"),
        _sum(cpu, "Qdrant"),
        _sum(cpu, "Kafka"),
        _ratio(of, "cpu_ratio"),
        _sum(memory, *_JAVA),
        _sum(memory, "Python"),
        _sum(memory, "Qdrant"),
        f"{checkpoints['p50_ms']:.0f}/{checkpoints['max_ms']:.0f}" if checkpoints else "",
    ]


def _ratio(of: Mapping[str, Any], name: str) -> str:
    return f"{of[name]:.2f}" if name in of else ""


def _sum(of: Mapping[str, float], *roles: str) -> str:
    found = [of[role] for role in roles if role in of]
    return f"{sum(found):.4g}" if found else ""
