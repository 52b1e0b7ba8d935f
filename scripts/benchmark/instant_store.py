"""A store that answers at once, in place of Qdrant where it is the job alone that is measured, as by `--scale`.

It speaks what the job does of Qdrant's gRPC interface, and what the bench does of the other one. It counts upserts and
keeps no point, so it is for streams without updates, and serves no test of what becomes of points.
"""

from __future__ import annotations

import argparse
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import grpc
import httpx
import orjson
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc
from qdrant_client.grpc import (
    CollectionConfig,
    CollectionDescription,
    CollectionInfo,
    GetCollectionInfoRequest,
    GetCollectionInfoResponse,
    HealthCheckReply,
    ListCollectionsResponse,
    PointsOperationResponse,
    UpdateResult,
    UpdateStatus,
    UpsertPoints,
)

from scripts.benchmark.workloads import WORKLOADS
from scripts.stack.processes import LOCALHOST, ROOT, Process, is_listening
from scripts.stack.server import PointsServer
from scripts.stack.workload import sparse_params

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.benchmark.workloads import Kind, Workload

_THREADS = 4  # of Python, so more would only wait for each other
_UNLIMITED = (("grpc.max_receive_message_length", -1),)
_DONE = PointsOperationResponse(result=UpdateResult(status=UpdateStatus.Completed)).SerializeToString()


@dataclass(frozen=True)
class Seen:
    """What has reached the store so far.

    Attributes:
        points: How many were upserted, each time counted.
        requests: In how many requests.
        connections: From how many connections upserts, and questions about collections, came.
    """

    points: int
    requests: int
    connections: int


class InstantStore(PointsServer):
    """The store as a process of its own on 127.0.0.1, with the collections of a workload."""

    def __init__(self, workload: Workload) -> None:
        super().__init__("Store")
        self._workload = workload

    def seen(self) -> Seen:
        """Return what has reached it."""
        return Seen(**httpx.get(f"{self.rest_url}/seen", trust_env=False).raise_for_status().json())

    def _launch(self) -> Process:
        options = [f"--workload={self._workload.name}", f"--rest={self._rest_port}", f"--grpc={self._grpc_port}"]
        return Process(self.name, [sys.executable, "-m", __name__, *options], self.log, cwd=ROOT)

    def _is_ready(self) -> bool:
        return is_listening(self._grpc_port) and is_listening(self._rest_port)


class _Store(grpc.GenericRpcHandler):
    """Answers calls, each method by a function of the request's bytes; what it does not know is unimplemented."""

    def __init__(self, workload: Workload) -> None:
        self._descriptions = {name: _description(kind) for name, kind in workload.placed()}
        self._lock = threading.Lock()
        self._points = self._requests = 0
        self._peers: set[str] = set()
        listed = ListCollectionsResponse(collections=[CollectionDescription(name=name) for name in self._descriptions])
        version = HealthCheckReply(title="a store that answers at once", version="1.13.0")
        self._answers: dict[str, Callable[[bytes, str], bytes]] = {
            "/qdrant.Points/Upsert": self._upsert,
            "/qdrant.Points/Delete": lambda _request, _peer: _DONE,
            "/qdrant.Collections/Get": self._describe,
            "/qdrant.Collections/List": lambda _request, _peer: listed.SerializeToString(),
            "/qdrant.Qdrant/HealthCheck": lambda _request, _peer: version.SerializeToString(),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Return the handler of one call. gRPC calls this."""
        answer = self._answers.get(handler_call_details.method)
        if answer is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer(request, context.peer()))

    def seen(self) -> Seen:
        """Return what has come so far."""
        with self._lock:
            return Seen(self._points, self._requests, len(self._peers))

    def _upsert(self, request: bytes, peer: str) -> bytes:
        count = len(UpsertPoints.FromString(request).points)
        with self._lock:
            self._points += count
            self._requests += 1
            self._peers.add(peer)
        return _DONE

    def _describe(self, request: bytes, peer: str) -> bytes:
        with self._lock:
            self._peers.add(peer)
        return self._descriptions[GetCollectionInfoRequest.FromString(request).collection_name]


def _description(kind: Kind) -> bytes:
    """Return what Qdrant answers about a collection of this kind, as far as the job looks at it."""
    params = models.CollectionParams(vectors=kind.vectors, sparse_vectors=sparse_params(kind.sparse))
    config = CollectionConfig(params=RestToGrpc.convert_collection_params(params))
    return GetCollectionInfoResponse(result=CollectionInfo(config=config)).SerializeToString()


def _pages(store: _Store) -> type[BaseHTTPRequestHandler]:
    """Return what serves `/seen`, and Qdrant's `/metrics` as far as the bench reads it."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen = store.seen()
            metrics = b'collection_points{id="all"} %d\n' % seen.points
            self.send_response(200)
            self.end_headers()
            self.wfile.write(orjson.dumps(asdict(seen)) if self.path == "/seen" else metrics)

        def log_message(self, *_: object) -> None:
            """Say nothing: it is asked twice a second."""

    return Pages


def main(argv: Sequence[str]) -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--rest", type=int, required=True, help="the port on which it tells what it has seen")
    parser.add_argument("--grpc", type=int, required=True, help="the port on which it takes points")
    options = parser.parse_args(argv)
    store = _Store(WORKLOADS[options.workload])
    server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=[store], options=_UNLIMITED)
    server.add_insecure_port(f"{LOCALHOST}:{options.grpc}")
    server.start()
    ThreadingHTTPServer((LOCALHOST, options.rest), _pages(store)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
