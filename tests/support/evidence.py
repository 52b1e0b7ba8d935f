"""What a Flink cluster shows and leaves behind, copied into a folder where it can be searched."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from scripts.stack.flink import FlinkCluster
    from tests.support.tcp_proxy import Connection

_METRICS_AT_ONCE = 50

# The paths of Flink 2.3 that are read with GET, by what they are about, from its *Headers classes (`static/` apart).
_OF_CLUSTER = """
    config overview datasets jars applications/overview jobs jobs/overview jobs/metrics taskmanagers
    taskmanagers/metrics jobmanager/config jobmanager/environment jobmanager/log jobmanager/stdout
    jobmanager/metrics jobmanager/logs jobmanager/thread-dump
"""
_OF_APPLICATION = ["", "/exceptions", "/jobmanager/config"]
_OF_TASK_MANAGER = ["", "/metrics", "/log", "/stdout", "/logs", "/thread-dump"]
_OF_JOB = """
    /config /status /plan /exceptions?maxExceptions=100 /accumulators?includeSerializedValue=true
    /execution-result /metrics /checkpoints /checkpoints/config /resource-requirements /jobmanager/config
    /jobmanager/environment /jobmanager/log-url /rescales/config /rescales/history /rescales/overview
    /rescales/summary
"""
_OF_VERTEX = """
    /accumulators /subtasks/accumulators /backpressure /metrics /subtasks/metrics /jm-operator-metrics
    /subtasktimes /taskmanagers /watermarks /flamegraph /subtasks/0 /subtasks/0/attempts/0
    /subtasks/0/attempts/0/accumulators /subtasks/0/metrics
"""


class RecordingProxy(TcpProxy):
    """Passes bytes on, and keeps those that clients send.

    Attributes:
        sent: They, one connection's between another's.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.sent = bytearray()

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        return self.url.removeprefix("http://")

    @property
    def bodies(self) -> bytes:
        """What was sent, without the lines that divide the chunks of a body (RFC 9112, section 7.1)."""
        return re.sub(rb"\r\n[0-9a-f]{1,8}\r\n", b"", bytes(self.sent))

    async def _receive(self, connection: Connection, source: socket.socket) -> bytes:
        received = await super()._receive(connection, source)
        if source is connection.client:
            self.sent += received
        return received


def keep(cluster: FlinkCluster, folder: Path) -> None:
    """Copy all that the cluster shows and has written by now: its web pages, its files, and its processes as `ps` has.

    Args:
        cluster: A cluster that runs.
        folder: Where to; it is made.
    """
    for path, answer in pages(cluster.rest_url):
        _write(folder / "web" / path.replace("/", "|"), answer)
    _copy(cluster.log_dir.parent, folder / "files")
    for pid in [*cluster.pids(), *cluster.python_worker_pids()]:
        for what in ("cmdline", "environ"):
            with suppress(OSError):  # gone meanwhile
                _write(folder / "processes" / f"{pid}-{what}", Path(f"/proc/{pid}/{what}").read_bytes())


def pages(rest_url: str) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the body of every answer that Flink's web page may show, refusals and faults included."""
    with httpx.Client(base_url=rest_url, trust_env=False, timeout=60) as http:
        for path in _paths(http):
            body = http.get(f"/{path}").content
            yield path, body
            if path.endswith("metrics"):
                yield from _metrics(http, path, body)


def _paths(http: httpx.Client) -> Iterator[str]:
    yield from _OF_CLUSTER.split()
    yield from (f"jobmanager/logs/{log['name']}" for log in _json(http, "jobmanager/logs")["logs"])
    for one in _applications(http):
        yield from (f"applications/{one['id']}{more}" for more in _OF_APPLICATION)
    for one in _json(http, "taskmanagers")["taskmanagers"]:
        at = f"taskmanagers/{one['id']}"
        yield from (f"{at}{more}" for more in _OF_TASK_MANAGER)
        yield from (f"{at}/logs/{log['name']}" for log in _json(http, f"{at}/logs")["logs"])
    for one in _json(http, "jobs")["jobs"]:
        yield from _paths_of_job(http, f"jobs/{one['id']}")


def _applications(http: httpx.Client) -> list[Any]:
    answer = http.get("/applications/overview")
    if answer.status_code == httpx.codes.NOT_FOUND:  # Flink 2.2 has no such pages
        return []
    return list(answer.raise_for_status().json()["applications"])


def _paths_of_job(http: httpx.Client, at: str) -> Iterator[str]:
    yield at
    yield from (f"{at}{more}" for more in _OF_JOB.split())
    vertices = [f"{at}/vertices/{vertex['id']}" for vertex in _json(http, at)["vertices"]]
    yield from vertices
    yield from (f"{vertex}{more}" for vertex in vertices for more in _OF_VERTEX.split())
    for checkpoint in _json(http, f"{at}/checkpoints")["history"]:
        details = f"{at}/checkpoints/details/{checkpoint['id']}"
        yield details
        yield from (f"{details}/subtasks/{vertex.rpartition('/')[2]}" for vertex in vertices)


def _metrics(http: httpx.Client, path: str, listed: bytes) -> Iterator[tuple[str, bytes]]:
    answer = json.loads(listed)
    names = iter([metric["id"] for metric in answer] if isinstance(answer, list) else [])
    for number, some in enumerate(iter(lambda: list(islice(names, _METRICS_AT_ONCE)), [])):
        yield f"{path}-values-{number}", http.get(f"/{path}", params={"get": ",".join(some)}).content


def _json(http: httpx.Client, path: str) -> Any:
    return http.get(f"/{path}").raise_for_status().json()


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a folder that changes meanwhile, but for jars, which are as they were downloaded.

    Links are left out, too: they lead to the distribution and to Python.
    """
    for path in source.iterdir() if source.exists() else ():
        if path.is_symlink():
            continue
        if path.is_dir():
            with suppress(FileNotFoundError):
                _copy(path, target / path.name)
        elif path.is_file():
            with suppress(FileNotFoundError):
                content = path.read_bytes()
                if not _is_jar(content):
                    _write(target / path.name, content)


def _is_jar(content: bytes) -> bool:
    return content.startswith(b"PK") and b"META-INF/" in content[:100]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
