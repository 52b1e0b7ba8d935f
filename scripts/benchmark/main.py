"""Measures the job beside two consumers written by hand and the limit of Qdrant, on one machine and the same messages.

Contestants: `job`; `plain` (a), what people write by hand, one process for each slot; `best` (b), the same with this
project's parser and encoder; `upserts` (c), points built beforehand. Each runs alone, on a fresh Qdrant without index.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console

from scripts.benchmark.contestants import CONTESTANTS
from scripts.benchmark.latency import PER_SECOND
from scripts.benchmark.plot import draw
from scripts.benchmark.report import show
from scripts.benchmark.results import summary
from scripts.benchmark.rounds import Bench, Plan
from scripts.benchmark.workloads import WORKLOADS
from scripts.stack.kafka import Kafka
from scripts.stack.package import build
from scripts.stack.processes import ROOT, StackError, until_stopped
from scripts.stack.server import blamed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

QUICK = Plan(
    cells=("128", "768"),
    rounds=1,
    seconds=10,
    warm_up=4,
    latency_cells=("128",),
    latency_seconds=6,
    contestants=("job", "plain"),
)
FULL = Plan(
    cells=tuple(WORKLOADS),
    rounds=3,
    seconds=60,
    warm_up=20,
    latency_cells=("128", "768"),
    latency_seconds=60,
)
LONG_CELLS = ("128",)
# Where each upsert is a new point, for the store that answers at once keeps none; and lanes are what is tried.
SCALE_CELLS = tuple(name for name, cell in WORKLOADS.items() if not (cell.has_churn or cell.job_settings))
_MOST_PARTITIONS = 1000


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; return 0 if everything was measured."""
    options = _options(argv)
    console = Console(stderr=options.json)
    return until_stopped(lambda: _told(options, console), console.print)


def _told(options: argparse.Namespace, console: Console) -> int:
    try:
        measured = _run(_plan(options), console)
        show(console, measured)
        if measured["cells"]:
            draw(measured, options.svg)
            console.print(f"Drawn in {options.svg}.", highlight=False, soft_wrap=True)
    except (StackError, OSError, httpx.HTTPError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    if options.json:
        print(json.dumps(measured), flush=True)
    return 0


def _run(plan: Plan, console: Console) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        kafka = stack.enter_context(Kafka())
        stack.enter_context(blamed(kafka))
        bench = Bench(
            plan,
            kafka,
            build(folder / "job.zip"),
            folder,
            lambda line: console.print(line, highlight=False, soft_wrap=True),
        )
        runs = [run for cell in plan.cells for run in bench.throughput(WORKLOADS[cell])]
        latencies = [latency for cell in plan.latency_cells for latency in bench.latency(WORKLOADS[cell])]
        growths = [bench.growth(WORKLOADS[cell]) for cell in plan.growth_cells]
        scales = [scaled.as_json() for cell in plan.scale_cells for scaled in bench.scale(WORKLOADS[cell])]
    about = {"machine": _machine(), "plan": plan.as_json()}
    return {**summary(runs, latencies, about), "growth": growths, "scale": scales}


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cores": os.cpu_count(), "memory_gb": round(memory / 1e9), "python": platform.python_version()}


def _plan(options: argparse.Namespace) -> Plan:
    usual = QUICK if options.quick else FULL
    plan = replace(
        usual,
        rounds=options.rounds or usual.rounds,
        seconds=options.seconds or usual.seconds,
        warm_up=usual.warm_up if options.warm_up is None else options.warm_up,
        latency_seconds=options.seconds or usual.latency_seconds,
        slots=options.slots,
        contestants=tuple(options.contestants or usual.contestants),
    )
    if options.growth or options.scale:
        cells, only = tuple(options.cells or LONG_CELLS), replace(plan, cells=(), latency_cells=())
        if options.growth:
            return replace(only, growth_cells=cells, growth_minutes=options.growth)
        return replace(only, scale_cells=cells, scale_slots=tuple(options.scale))
    cells = tuple(options.cells or usual.cells)
    latency = usual.latency_cells if options.cells is None else [cell for cell in cells if cell in FULL.latency_cells]
    has_latency = "job" in plan.contestants and not options.no_latency
    return replace(plan, cells=cells, latency_cells=tuple(latency) if has_latency else ())


def _options(argv: Sequence[str]) -> argparse.Namespace:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, formatter_class=text)
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="job and (a) at 128 and 768 dimensions, one round, short windows, the JVM hardly warm: under 5 minutes",
    )
    add("--cells", type=_some_of(WORKLOADS), help=f"which cells, of {', '.join(WORKLOADS)} (default: all)")
    add(
        "--contestants",
        type=_some_of(CONTESTANTS),
        help=f"which, of {', '.join(CONTESTANTS)} (default: all, quick: job and plain)",
    )
    add("--rounds", type=int, help="rounds of all contestants; medians are reported (default: 3, quick: 1)")
    add("--seconds", type=float, help="the length of each window (default: 60, quick: 10)")
    add("--warm-up", type=float, help="seconds left out before it (default: 20, quick: 4)")
    add("--slots", type=int, default=2, help="slots of the job, and processes of each consumer (default: 2)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--growth", type=float, metavar="MINUTES", help="only this: how the job's memory grows at full speed, in 128"
    )
    only.add_argument(
        "--scale",
        type=_slots,
        metavar="SLOTS",
        help="only this: the job with so many slots, such as 1,2,4,10, in 128, before a store that answers at once",
    )
    add("--no-latency", action="store_true", help=f"do not measure latency at {PER_SECOND:,} messages/s")
    add("--json", action="store_true", help="print everything as one JSON object on the last line")
    add("--svg", type=Path, default=ROOT / "target" / "bench.svg", help="where to draw it (default: target/bench.svg)")
    options = parser.parse_args(argv)
    if options.scale and (others := {*(options.cells or ())} - {*SCALE_CELLS}):
        parser.error(f"--scale is not for {', '.join(sorted(others))}, only for {', '.join(SCALE_CELLS)}")
    return options


def _some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads names separated by commas."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is none of {', '.join(known)}")
        return names

    return read


def _slots(text: str) -> list[int]:
    numbers = [int(number) if number.strip().isdecimal() else 0 for number in text.split(",")]
    if not all(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} should be numbers of slots, such as 1,2,4,10")
    if (partitions := math.lcm(*numbers)) > _MOST_PARTITIONS:
        raise argparse.ArgumentTypeError(f"{text} want {partitions:,} partitions, so that each slot has as many")
    return numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
