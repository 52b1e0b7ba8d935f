"""The demo: real messages through a real Kafka, a real Flink job and a real Qdrant, read back and compared."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from qdrant_client import QdrantClient, models
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.stack.flink_rest import FlinkRest
from scripts.stack.kafka import Kafka
from scripts.stack.processes import LOCALHOST, ROOT, Process, StackError, free_port, until_stopped, wait_until
from scripts.stack.qdrant import Qdrant
from scripts.stack.server import blamed
from scripts.stack.workload import FORMATS, Difference, Workload, compare, create_collections, generate, produce

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPIC = "vectors"
PARTITIONS = 4
# What becomes of a message: as the summary calls it, and as Flink's metrics do.
OUTCOMES = {"written": "written", "superseded": "superseded", "deleted": "deleted", "dead_lettered": "deadLettered"}


@dataclass
class Demo:
    """The servers of one demo, and what is said about them."""

    console: Console
    kafka: Kafka
    qdrant: Qdrant
    flink: FlinkRest
    folder: Path

    def prepare(self, workload: Workload) -> None:
        """Create collections and topic, and produce everything."""
        started = time.monotonic()
        with closing(self.qdrant.client()) as client:
            create_collections(client)
        self.kafka.create_topic(TOPIC, PARTITIONS)
        produce(self.kafka.bootstrap, TOPIC, workload.messages)
        seconds = time.monotonic() - started
        self.console.print(
            f"Produced {len(workload.messages)} messages in five formats to {PARTITIONS} partitions in {seconds:.1f} s."
        )

    def job(self) -> Process:
        """Start the job as a user does, on Flink's local minicluster."""
        settings = {
            "topics": TOPIC,
            "properties.bootstrap.servers": self.kafka.bootstrap,
            "qdrant.grpc.url": self.qdrant.grpc_url,
            "parallelism": 2,
            "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.dir": (self.folder / "checkpoints").as_uri(),
            "python.fn-execution.bundle.time": "200 ms",
            "flink.rest.port": httpx.URL(self.flink.rest_url).port,
            "flink.rest.bind-address": LOCALHOST,
            "flink.metrics.fetcher.update-interval": "500 ms",
            "flink.restart-strategy.type": "none",  # what goes wrong here is to be seen at once
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        self.console.print(f"python -m job.main {' '.join(arguments[:3])} …", style="dim", soft_wrap=True)
        command = [sys.executable, "-m", "job.main", *arguments]
        # Flink leaves jars of 70 MB where Java has its temporary files.
        java = f'{os.environ.get("JAVA_TOOL_OPTIONS", "")} -Djava.io.tmpdir="{self.folder}"'
        return Process("The job", command, self.folder / "job.log", env={"JAVA_TOOL_OPTIONS": java}, cwd=ROOT)

    def watch(self, job: Process, produced: int) -> Counter[str]:
        """Show progress until every message is accounted for and a checkpoint says so; return the job's accounts."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task("Starting Flink", total=produced)
            job_id = self._job_id(job)
            accounts: Counter[str] = Counter()

            def is_drained() -> bool:
                accounts.clear()
                accounts.update(self.flink.accounts(job_id))
                settled = sum(accounts[metric] for metric in OUTCOMES.values())
                progress.update(bar, description="Kafka ▶ Flink ▶ Qdrant", completed=settled)
                return settled >= produced

            try:
                wait_until(is_drained, "all messages to be written", seconds=300, every=0.3)
                drained = time.time() * 1000
                wait_until(lambda: self._checkpointed(job_id) > drained, "a checkpoint", seconds=60)
            except httpx.TransportError:
                job.wait(seconds=30)  # its web page went first
                job.check()
                raise
        return accounts

    def _job_id(self, job: Process) -> str:
        ids: list[str] = []

        def is_running() -> bool:
            try:
                ids[:] = [found["id"] for found in self.flink.rest("/jobs")["jobs"]]
            except httpx.TransportError:
                ids.clear()
            return bool(ids)

        job.wait_ready(is_running, seconds=120)
        return ids[0]

    def _checkpointed(self, job_id: str) -> float:
        latest = self.flink.checkpoints(job_id)["latest"]["completed"]
        return latest["trigger_timestamp"] if latest else 0.0


def main(argv: Sequence[str]) -> int:
    """Run the demo; return 0 if everything produced is in Qdrant as it should be."""
    options = _options(argv)
    console = Console(stderr=options.json)
    return until_stopped(lambda: _told(options, console), console.print)


def _told(options: argparse.Namespace, console: Console) -> int:
    try:
        return _run(options, console)
    except (StackError, OSError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def _run(options: argparse.Namespace, console: Console) -> int:
    workload = generate(options.messages, PARTITIONS, seed=options.seed)
    with ExitStack() as servers, ThreadPoolExecutor() as threads:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True)))
        starting = threads.submit(servers.enter_context, Kafka())
        qdrant, kafka = servers.enter_context(Qdrant()), starting.result()
        servers.enter_context(blamed(kafka, qdrant))
        demo = Demo(console, kafka, qdrant, FlinkRest(f"http://{LOCALHOST}:{free_port()}"), folder)
        console.print(f"Kafka is up at {kafka.bootstrap}, Qdrant at {qdrant.grpc_url} (gRPC).")
        demo.prepare(workload)
        job = servers.enter_context(demo.job())
        accounts = demo.watch(job, len(workload.messages))
        client = servers.enter_context(closing(qdrant.client()))
        difference = compare(client, workload.points)
        _show(console, client, workload, difference)
        is_right = _summarise(console, accounts, len(workload.messages), difference, as_json=options.json)
        if options.keep:
            _keep(demo)
    return 0 if is_right else 1


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="how many messages to produce (default: 5000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same messages (default: 1)")
    parser.add_argument("--keep", action="store_true", help="leave everything up afterwards, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object on the last line")
    options = parser.parse_args(argv)
    if options.messages < len(FORMATS):
        parser.error(f"--messages is {options.messages}; give {len(FORMATS)} or more, one for each format")
    return options


def _show(console: Console, client: QdrantClient, workload: Workload, difference: Difference) -> None:
    title = "Produced to Kafka, and read back from Qdrant"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("format", no_wrap=True)
    for heading in ("produced", "tombstones", "expected", "found", "missing", "extra", "wrong"):
        table.add_column(heading, justify="right")
    for name, kind in FORMATS.items():
        mine = [message for message in workload.messages if message.point[0] == kind.collection]
        counts = (
            len(mine),
            sum(message.value is None for message in mine),
            sum(collection == kind.collection for collection, _ in workload.points),
            client.count(kind.collection).count,
            *(
                sum(collection == kind.collection for collection, _ in keys)
                for keys in (difference.missing, difference.extra, difference.wrong)
            ),
        )
        table.add_row(name, *map(str, counts))
    console.print(table)
    _show_nearest(console, client, workload)


def _show_nearest(console: Console, client: QdrantClient, workload: Workload) -> None:
    """Ask for the neighbours of the newest point with an unnamed vector."""
    (collection, point_id), point = next(
        item for item in reversed(workload.points.items()) if item[0][0] == "docs" and item[1].vectors
    )
    exact = models.SearchParams(exact=True)
    nearest = client.query_points(collection, point.vectors[""], limit=3, search_params=exact).points
    console.print(f"Nearest to the vector of point {point_id} in {collection!r}, just landed, by dot product:")
    for hit in nearest:
        console.print(f"  {hit.score:8.4f}  point {hit.id}  {(hit.payload or {}).get('text', '')}")


def _summarise(
    console: Console, accounts: Counter[str], produced: int, difference: Difference, *, as_json: bool
) -> bool:
    summary = {
        "produced": produced,
        **{outcome: accounts[metric] for outcome, metric in OUTCOMES.items()},
        "missing": len(difference.missing),
        "wrong": len(difference.wrong) + len(difference.extra),
    }
    is_right = not difference and sum(accounts[metric] for metric in OUTCOMES.values()) == produced
    parts = ", ".join(f"{count} {name.replace('_', '-')}" for name, count in summary.items())
    verdict, style = ("All there", "green") if is_right else ("NOT as it should be", "red")
    console.print(f"{verdict}: {parts}.", style=style, soft_wrap=True)
    if as_json:
        print(json.dumps(summary), flush=True)
    return is_right


def _keep(demo: Demo) -> None:
    demo.console.print("Left up until Ctrl-C:")
    for name, address in {
        "Flink's web page": demo.flink.rest_url,
        "Qdrant (REST)": demo.qdrant.rest_url,
        "Qdrant (gRPC)": demo.qdrant.grpc_url,
        f"Kafka, topic {TOPIC!r}": demo.kafka.bootstrap,
    }.items():
        demo.console.print(f"  {name:24} {address}")
    signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
