"""End-to-end latency: from handing a message to the Kafka client until Qdrant returns its point.

One process sends and looks, so that one clock tells both times. Every 50th message is a marker; all markers that were
not yet seen are asked for a hundred times a second, so a latency is told to about 10 ms, and never too short.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from grpc import insecure_channel
from qdrant_client import grpc

from scripts.benchmark.preload import open_producer
from scripts.stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scripts.benchmark.contestants import Arena
    from scripts.benchmark.workloads import Record

PER_SECOND = 2000
MARKER_EVERY = 50
TICK = 0.005
_CHECK_EVERY = 200  # ticks
LOOK_EVERY = 0.01
_LATEST_SECONDS = 60
_NOTHING = grpc.WithPayloadSelector(enable=False)

# What README recommends to whoever wants points soon.
LOW_LATENCY = ("--python.fn-execution.bundle.time=100 ms",)
SETTINGS: dict[str, tuple[str, ...]] = {"shipped": (), "low-latency": LOW_LATENCY}


@dataclass(frozen=True)
class Latency:
    """How long markers took, in seconds.

    Attributes:
        cell: With which messages.
        settings: With which settings of the job.
        seconds: Each marker's latency.
        per_second: How many messages a second were sent.
    """

    cell: str
    settings: str
    seconds: Sequence[float]
    per_second: float

    def percentile(self, percent: float) -> float:
        """Return the shortest latency that so many percent of the markers did not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


@dataclass
class Markers:
    """The markers that were sent, until they are seen."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    _sent: dict[int, float] = field(default_factory=dict)

    def send(self, number: int) -> None:
        """Note the moment before a marker is sent."""
        self._sent[number] = time.monotonic()

    def pending(self) -> list[int]:
        """Return the markers not yet seen."""
        return list(self._sent)  # in one step of the interpreter, so it may be called while another thread sends

    def seen(self, numbers: Sequence[int]) -> None:
        """Note that these are in Qdrant."""
        now = time.monotonic()
        for number in numbers:
            sent = self._sent.pop(number)
            self.latencies.append((sent, now - sent))

    def since(self, moment: float) -> list[float]:
        """Return the latencies of those sent since then."""
        return [latency for sent, latency in self.latencies if sent >= moment]


def measure_latency(arena: Arena, settings: str, warm_up: float, seconds: float, check: Callable[[], None]) -> Latency:
    """Send messages at a steady rate to a job that runs; return the latencies of those sent after the warm-up.

    Raises:
        StackError: if a marker is not in Qdrant a minute after the last.
    """
    markers, is_over = Markers(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(_look, arena, markers, is_over)
        try:
            started = time.monotonic()
            rate = _send(arena, markers, started + warm_up + seconds, check)
            deadline = time.monotonic() + _LATEST_SECONDS
            while markers.pending() and time.monotonic() < deadline and not looking.done():
                time.sleep(0.1)
        finally:
            is_over.set()
        looking.result()
    if missing := markers.pending():
        raise StackError(f"{len(missing)} of the messages sent were not in Qdrant after {_LATEST_SECONDS} s.")
    return Latency(arena.workload.name, settings, markers.since(started + warm_up), rate)


def _send(arena: Arena, markers: Markers, until: float, check: Callable[[], None]) -> float:
    """Send messages by the clock, and return how many there were a second."""
    producer = open_producer(arena.kafka.bootstrap, **{"linger.ms": 5})
    records = enumerate(arena.workload.records(10**9))
    started, sent = time.monotonic(), 0
    for tick in itertools.count():
        if (now := time.monotonic()) >= until:
            break
        due = int((now - started) * PER_SECOND) - sent
        _send_some(producer, arena.topic, itertools.islice(records, due), markers)
        sent += due
        if tick % _CHECK_EVERY == 0:
            check()
        time.sleep(TICK)
    if producer.flush(30):
        raise StackError("Kafka did not take every message.")
    return sent / (until - started)


def _send_some(producer: Any, topic: str, records: Iterator[tuple[int, Record]], markers: Markers) -> None:
    for number, record in records:
        if number % MARKER_EVERY == 0:
            markers.send(number)
        producer.produce(topic, value=record.value, key=record.key, partition=record.partition)
    producer.poll(0)


def _look(arena: Arena, markers: Markers, is_over: threading.Event) -> None:
    """Ask Qdrant for the markers until it is over; by protobuf, for models would take the time that sending needs."""
    collection = arena.workload.placed()[0][0]
    with insecure_channel(urlsplit(arena.qdrant.grpc_url).netloc) as channel:
        points = grpc.PointsStub(channel)  # type: ignore[no-untyped-call]
        while not is_over.wait(LOOK_EVERY):
            if pending := markers.pending():
                ids = [grpc.PointId(num=number) for number in pending]
                request = grpc.GetPoints(collection_name=collection, ids=ids, with_payload=_NOTHING)
                markers.seen([point.id.num for point in points.Get(request, timeout=30).result])
