"""Contestant (c): the limit. Points built as protobuf beforehand, 1,024 in a request, from four threads, with wait.

Each request is built once per thread and sent again and again under new ids, so that every point is a new one, as it is
for the others; giving ids takes under a microsecond a point.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import TYPE_CHECKING

import grpc as channels
from qdrant_client import grpc

from scripts.benchmark.workloads import WORKLOADS, uuid_of
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Upsert
from udfs.qdrant.encode import encode_upsert, join_upserts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.benchmark.workloads import Kind, Workload

THREADS = 4
POINTS = 1024
_RULES = ParseRules()


def main(argv: Sequence[str]) -> None:
    """Upsert until the process is ended, or for so many requests of each thread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--qdrant-host", required=True)
    parser.add_argument("--qdrant-port", type=int, required=True, help="that of gRPC")
    parser.add_argument("--requests", type=int, help="of each thread (default: no end)")
    options = parser.parse_args(argv)
    workload = WORKLOADS[options.workload]
    with channels.insecure_channel(f"{options.qdrant_host}:{options.qdrant_port}", _UNLIMITED) as channel:
        stub = grpc.PointsStub(channel)  # type: ignore[no-untyped-call]
        with ThreadPoolExecutor(THREADS) as threads:
            sent = [threads.submit(send, stub, workload, thread, options.requests) for thread in range(THREADS)]
            for thread in sent:
                thread.result()


_UNLIMITED = (("grpc.max_send_message_length", -1),)


def send(stub: grpc.PointsStub, workload: Workload, thread: int, limit: int | None) -> None:
    """Send the requests of one thread, one after another."""
    for request in islice(requests(workload, thread), limit):
        answer = stub.Upsert(request, timeout=60)
        if answer.result.status != grpc.UpdateStatus.Completed:
            raise ConnectionError(f"Qdrant answered {answer.result.status}")


def requests(workload: Workload, thread: int) -> Iterator[grpc.UpsertPoints]:
    """Yield the requests of one thread, for one collection after the other, each with new ids."""
    templates = {kind.collection: template(kind) for kind in workload.kinds}
    places = workload.placed()
    for number in count(thread, THREADS):
        # By turns, and not all threads at the same collection if there are several.
        collection, kind = places[number % len(places)]
        request = templates[kind.collection]
        request.collection_name = collection
        for point_number, point in enumerate(request.points, number * POINTS):
            if kind.with_uuids:
                point.id.uuid = str(uuid_of(point_number))
            else:
                point.id.num = point_number
        yield request


def template(kind: Kind) -> grpc.UpsertPoints:
    """Return a request of 1,024 points, made of the workload's messages as the job would make it."""
    points = []
    for tail in islice(kind.tails, POINTS):
        message = parse_message(None, b'{"collection_name":"any","id":0' + tail, _RULES)
        if not isinstance(message, Upsert):
            raise TypeError(f"A message of this workload is no upsert: {message}")
        points.append(encode_upsert(message))
    return grpc.UpsertPoints.FromString(join_upserts("any", points))


if __name__ == "__main__":
    main(sys.argv[1:])
