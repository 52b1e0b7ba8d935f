"""The benchmark's pure parts: the same messages every time, windows without warm-up, honest medians and ratios."""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import subprocess
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rich.console import Console

from scripts.benchmark.feeder import Backlog
from scripts.benchmark.growth import Growth, growth_of
from scripts.benchmark.instant_store import Seen
from scripts.benchmark.latency import Latency, Markers
from scripts.benchmark.main import _options, _plan
from scripts.benchmark.measure import Measured, Processes, Sample, Window, _process, measured, watch
from scripts.benchmark.plot import draw
from scripts.benchmark.report import show
from scripts.benchmark.results import Run, Scaled, summary
from scripts.benchmark.upserts import POINTS, THREADS, requests
from scripts.benchmark.workloads import BLOCK, DELETE, LIFETIME, PARTITIONS, WORKLOADS, target_of
from scripts.stack.processes import StackError
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.benchmark.workloads import Workload

CELLS = [pytest.param(workload, id=name) for name, workload in WORKLOADS.items()]
GROWTH = Growth("Python", 7, 100, 110, 120, 0.25)
ABOUT: dict[str, Any] = {"machine": {}, "plan": {}}


def sample(at: float, messages: float, **cpu: float) -> Sample:
    """Return what was seen at a moment; memory is as much as CPU, in MB."""
    return Sample(at, messages, cpu, {role: round(seconds * 2**20) for role, seconds in cpu.items()})


def run(contestant: str, messages: float, cpu: float = 1.0, cell: str = "128", **checkpoints: float) -> Run:
    """Return a run of ten seconds with messages of 1,000 bytes."""
    return Run(cell, contestant, 1000, Measured(10, messages, {"Python": cpu}, {"Python": 2 * 10**6}), checkpoints)


@pytest.mark.parametrize("workload", CELLS)
def test_a_stream_is_the_same_every_time(workload: Workload) -> None:
    """Two contestants in two rounds are given the same bytes; a longer stream begins with a shorter one."""
    again = replace(workload, kinds=tuple(replace(kind) for kind in workload.kinds))  # with pools of their own
    assert list(workload.records(300)) == list(itertools.islice(again.records(600), 300))


@pytest.mark.parametrize("workload", CELLS)
def test_every_message_is_a_good_one(workload: Workload) -> None:
    """The job refuses none of them, each collection has some, and a key names the point of its value."""
    count = max(300, 2 * len(workload.placed()))
    collections = set()
    for record in workload.records(count):
        operation = parse_message(record.key, record.value, ParseRules())
        assert isinstance(operation, Upsert)
        assert parse_message(record.key, None, ParseRules()) == Delete(operation.collection, operation.id)
        collections.add(operation.collection)
    assert collections == {name for name, _ in workload.placed()}


@pytest.mark.parametrize("workload", CELLS)
def test_partitions_are_equally_full_and_an_id_is_in_one(workload: Workload) -> None:
    """Updates and deletes are in the partition of the point, and no partition is empty long before the others."""
    count = 40 * BLOCK
    partitions: dict[bytes, set[int]] = {}
    sizes = [0] * PARTITIONS
    for record in workload.records(count):
        partitions.setdefault(record.key, set()).add(record.partition)
        sizes[record.partition] += 1
    assert all(len(found) == 1 for found in partitions.values())
    assert max(sizes) - min(sizes) < count / 20


def test_churn_is_a_tenth_updates_and_a_hundredth_deletes() -> None:
    """Once under way, each hundred messages make 88 points more: the clock of a run counts on it."""
    rng = random.Random(1)  # noqa: S311 - test data
    there: set[int] = set()
    sizes = []
    updates = 0
    for index in range(60 * BLOCK):
        number, is_delete = target_of(index, rng)
        if index % BLOCK == 0:
            sizes.append(len(there))
        if is_delete:
            there.remove(number)
        else:
            updates += number in there
            assert number in there or number == index
            there.add(number)
    steady = sizes[LIFETIME + 1 :]
    assert {after - before for before, after in itertools.pairwise(steady)} == {88}
    assert updates == 10 * (60 - LIFETIME)
    assert WORKLOADS["mix"].points_per_message == pytest.approx(0.88)
    assert target_of(LIFETIME * BLOCK + DELETE, rng) == (0, True)


def test_floats_look_as_float32_prints() -> None:
    """A message is as long as those of embeddings are: nine digits a number, not seventeen."""
    vector = orjson.loads(next(iter(WORKLOADS["768"].records(1))).value or b"")["vector"]
    assert len(vector) == 768
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-4)
    assert 8 < len(json.dumps(vector)) / len(vector) < 14


@pytest.mark.parametrize(
    ("cell", "threads"),
    [pytest.param("collections-10", THREADS, id="all threads"), pytest.param("mix", 1, id="all formats")],
)
def test_requests_built_beforehand_bring_new_points_each_time(cell: str, threads: int) -> None:
    """No two requests of any threads share an id of a collection."""
    seen: set[tuple[str, str]] = set()
    for thread in range(threads):
        for request in itertools.islice(requests(WORKLOADS[cell], thread), 6):
            assert len(request.points) == POINTS
            seen |= {(request.collection_name, str(point.id)) for point in request.points}
    assert len(seen) == 6 * threads * POINTS


def test_a_window_begins_after_the_warm_up_and_ends_in_time() -> None:
    """The warm-up is counted from the first message in Qdrant, and neither it nor what follows the window counts."""
    samples = [sample(at, max(0, at - 10) * 100, Python=at) for at in range(40)]
    window = Window(warm_up=5, seconds=10)
    over = next(count for count in range(len(samples)) if window.is_over(samples[:count]))
    assert measured(samples[:over], window) == Measured(10, 1000, {"Python": 10}, {"Python": 26 * 2**20})


def test_a_window_ends_before_the_messages_run_out() -> None:
    """From nine tenths on, partitions may be empty: what is seen then does not count, and it is told."""
    samples = [sample(at, min(at * 100, 1000), Python=at) for at in range(20)]
    window = Window(warm_up=2, seconds=60, preloaded=1000)
    over = next(count for count in range(len(samples)) if window.is_over(samples[:count]))
    result = measured(samples[:over], window)
    assert (result.seconds, result.messages, result.ran_dry) == (6, 600, True)


def test_a_window_that_is_all_warm_up_is_refused() -> None:
    """Too few messages are an error, never a number."""
    with pytest.raises(StackError, match="Give more --seconds"):
        Window(warm_up=5, seconds=5, preloaded=10).ends([sample(0, 1), sample(1, 100)])


def test_watching_ends_with_the_window_and_looks_after_the_contestant() -> None:
    """The check is made before each sample, and its error ends the watch."""
    counts = iter([0, 10, 20, 30])
    checks: list[int] = []
    samples = watch(lambda: next(counts), lambda: ({}, {}), Window(0, 0.9), lambda: checks.append(1))
    assert [found.messages for found in samples] == [0, 10, 20, 30][: len(samples)]
    assert len(checks) == len(samples) >= 3


def test_a_process_is_read_whatever_its_name() -> None:
    """The name may hold blanks and brackets; time is user's and system's, without that of children."""
    stat = "7 (a) (b c) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 900 900 20 0 1 0 5 1000 3 0"
    process = _process(7, stat)
    assert (process.name, process.group) == ("a) (b c", 42)
    assert process.cpu == 200 / os.sysconf("SC_CLK_TCK")
    assert process.memory == 3 * os.sysconf("SC_PAGE_SIZE")


def test_usage_of_this_process_is_seen_under_its_role() -> None:
    """What is no Java in a TaskManager's group is Python, as its workers are."""
    processes = Processes({os.getpgrp(): "TaskManager"})
    cpu, memory = processes.usage()
    assert cpu["Python"] > 0
    assert memory["Python"] > 2**20


def test_sizes_are_those_of_each_process_but_shells() -> None:
    """This process is there by its id, with what it has resident; what merely starts others is not."""
    with subprocess.Popen(["sleep", "60"]) as other:
        sizes = Processes({os.getpgrp(): "TaskManager"}).sizes()
        other.kill()
    assert sizes["Python", os.getpid()] > 2**20
    assert ("Python", other.pid) not in sizes


def test_growth_is_the_slope_of_all_sizes() -> None:
    """Ten minutes with a megabyte more in each, and one moment with much more than its neighbours."""
    sizes = [(60.0 * minute, (100 + minute) * 10**6) for minute in range(11)]
    sizes[5] = (300.0, 400 * 10**6)
    growth = growth_of(sizes, "Python", 7)
    assert (growth.first_mb, growth.last_mb, growth.peak_mb) == (100, 110, 400)
    assert growth.mb_per_minute == pytest.approx(1)


@pytest.mark.parametrize(
    ("committed", "seconds", "why"),
    [
        pytest.param([100, 100, 100, 300], 0, "100 messages were left", id="short"),
        pytest.param([100, 50, 0, 0], 61, "committed nothing for 60 s", id="stalled"),
    ],
)
def test_a_job_that_was_not_at_full_speed_is_told(committed: list[int], seconds: float, why: str) -> None:
    """Its processes did not grow, perhaps, but that says nothing."""
    backlog = Backlog(short=150, produced=700)
    backlog.look([150, 0, 0, 0], 1000)
    backlog.look([150, 0, 0, 0], 1060)
    with pytest.raises(StackError, match=why):
        backlog.look(committed, 1000 + seconds)


def test_medians_and_ratios_are_those_of_the_rounds() -> None:
    """One bad round changes nothing, and every contestant is held against the plain consumer."""
    runs = [run("plain", count, cpu) for count, cpu in ((100_000, 10), (10_000, 10), (110_000, 11))]
    runs += [run("job", count, 4) for count in (200_000, 220_000, 240_000)]
    cell = summary(runs, [], ABOUT)["cells"]["128"]
    assert cell["plain"]["messages_per_second"] == 10_000
    assert cell["plain"]["rounds"] == [10_000, 1_000, 11_000]
    assert cell["job"]["messages_per_second"] == 22_000
    assert cell["job"]["mb_per_second"] == 22.0
    assert cell["job"]["messages_ratio"] == 2.2
    assert cell["job"]["cpu_ratio"] == 0.18
    assert cell["plain"]["cpu_ratio"] == 1.0


@pytest.mark.parametrize(
    ("percent", "expected"), [pytest.param(50, 0.5, id="p50"), pytest.param(99, 0.99, id="p99"), (99.9, 1.0)]
)
def test_a_percentile_is_one_of_the_latencies(percent: float, expected: float) -> None:
    """It is the shortest that so many of them do not exceed: nothing is interpolated."""
    seconds = [number / 100 for number in range(100, 0, -1)]
    assert Latency("128", "shipped", seconds, 2000).percentile(percent) == expected


def test_a_marker_counts_from_its_sending_to_its_sighting() -> None:
    """Those sent before the warm-up ended do not count, and a marker is pending until it is seen."""
    markers = Markers()
    markers.send(0)
    markers.send(50)
    markers.seen([50])
    assert markers.pending() == [0]
    (sent, latency) = markers.latencies[0]
    assert 0 <= latency < 10
    assert markers.since(sent) == [latency]
    assert markers.since(sent + 1) == []


def test_what_is_reported_is_shown_and_drawn(tmp_path: Path) -> None:
    """Every cell and contestant is in the table and in the plot, which is the same for the same numbers."""
    runs = [run(name, 123_450, cell=cell) for cell in ("128", "mix") for name in ("plain", "upserts")]
    runs += [run("job", 200_000, completed=3, failed=0, p50_ms=12, max_ms=345)]
    found = summary(runs, [Latency("128", "shipped", [0.1, 0.2], 2000)], ABOUT)
    found["scale"] = [Scaled(10, 10, run("job", 7_770, completed=1, p50_ms=41, max_ms=50), Seen(300, 2, 21)).as_json()]
    found["growth"] = [{"cell": "128", "messages_per_second": 9, "processes": [asdict(GROWTH)]}]
    text = io.StringIO()
    show(Console(file=text, width=80), found)
    cells = (
        "the job",
        "(c) upserts only",
        "12,345",
        "20,000",
        "345",
        "mix",
        "shipped",
        "200",
        "Python 7",
        "+0.25",
        "777",
        "41",
        "21",
        "150",
    )
    for shown in cells:
        assert shown in text.getvalue()
    assert "…" not in text.getvalue()
    draw(found, tmp_path / "one.svg")
    draw(found, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        pytest.param([], {"rounds": 3, "seconds": 60, "latency_cells": ("128", "768")}, id="full"),
        pytest.param(["--quick"], {"cells": ("128", "768"), "rounds": 1, "seconds": 10}, id="quick"),
        pytest.param(["--quick"], {"contestants": ("job", "plain")}, id="quick, who takes part"),
        pytest.param(["--quick", "--contestants", "best"], {"contestants": ("best",)}, id="quick, somebody else"),
        pytest.param(["--cells", "768,mix"], {"cells": ("768", "mix"), "latency_cells": ("768",)}, id="some cells"),
        pytest.param(["--contestants", "plain"], {"contestants": ("plain",), "latency_cells": ()}, id="no job"),
        pytest.param(["--growth", "20"], {"growth_cells": ("128",), "growth_minutes": 20, "cells": ()}, id="growth"),
        pytest.param(["--scale", "1,10"], {"scale_slots": (1, 10), "scale_cells": ("128",), "cells": ()}, id="scale"),
        pytest.param(["--quick", "--warm-up", "0", "--rounds", "2"], {"warm_up": 0, "rounds": 2}, id="own times"),
    ],
)
def test_options_make_the_plan(argv: list[str], expected: dict[str, Any]) -> None:
    """What is given wins over what is usual."""
    plan = _plan(_options(argv))
    assert {name: getattr(plan, name) for name in expected} == expected


def test_each_round_another_contestant_begins() -> None:
    """So what a first or last one has to bear, such as what the one before it left to be written, hits all alike."""
    plan = _plan(_options(["--contestants", "job,plain,best"]))
    orders = [plan.contestants_of(WORKLOADS["128"], number) for number in range(4)]
    assert orders[:2] == [["job", "plain", "best"], ["plain", "best", "job"]]
    assert [order[0] for order in orders] == ["job", "plain", "best", "job"]
    assert plan.contestants_of(WORKLOADS["lanes-1"], 1) == ["plain", "job"]
    assert replace(plan, contestants=("best",)).contestants_of(WORKLOADS["lanes-1"], 1) == []


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        pytest.param(["--scale=0"], "'0' should be numbers of slots, such as 1,2,4,10", id="none"),
        pytest.param(["--scale=1,two"], "'1,two' should be numbers of slots", id="a word"),
        pytest.param(["--scale=7,11,13"], "7,11,13 want 1,001 partitions", id="no common multiple"),
        pytest.param(["--scale=1", "--cells=128,mix"], "--scale is not for mix, only for 128, 768", id="updates"),
        pytest.param(["--scale=1", "--cells=lanes-1"], "--scale is not for lanes-1", id="lanes of its own"),
        pytest.param(["--scale=1", "--growth=5"], "not allowed with argument", id="growth"),
    ],
)
def test_a_scale_that_cannot_be_measured_is_refused(
    argv: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error says what could be."""
    with pytest.raises(SystemExit):
        _options(argv)
    assert why in capsys.readouterr().err


def test_an_unknown_cell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names those that there are."""
    with pytest.raises(SystemExit):
        _options(["--cells", "512"])
    assert "512 is none of 128, 768" in capsys.readouterr().err
