"""A TCP proxy between the job and the real Qdrant that does to connections what a bad network does."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from scripts.stack.processes import LOCALHOST, free_port
from tests.support.loops import OnItsOwnLoop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


_CHUNK = 2**20
_NO_LIMIT = sys.maxsize
_RESET_WHEN_CLOSED = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """A client's socket, another for the server, and how many bytes may pass each way before both are reset."""

    task: asyncio.Task[None]

    def __init__(self, client: socket.socket, limits: dict[str, int], *, is_dead: bool) -> None:
        self.client, self.server = client, socket.socket()
        self.left = dict(limits)
        self.is_dead = is_dead
        for end in (self.client, self.server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset_when_closed(self) -> None:
        """Let both ends see a reset, rather than an end, when their sockets are closed."""
        self.client.setsockopt(*_RESET_WHEN_CLOSED)
        self.server.setsockopt(*_RESET_WHEN_CLOSED)


class TcpProxy(OnItsOwnLoop):
    """Passes bytes on as they are, and how a connection ends: closed one way, closed, or reset.

    Faults may be asked for from any thread, and have begun when the call returns, for every connection that a client
    has made by then. A client whose server is not there is reset.

    Args:
        target: The server, as host:port.

    Attributes:
        delay: The seconds that bytes are held each way, or up to twice that behind others; may be set at any time.
        accepted: How many connections were ever accepted.
        cut: How many of them were reset by a fault, or by the end of the proxy.
        swallowed: How many bytes half-open connections have swallowed.
    """

    def __init__(self, target: str) -> None:
        super().__init__("tcp-proxy")
        host, _, port = target.rpartition(":")
        self.delay = 0.0
        self.accepted = self.cut = self.swallowed = 0
        self._target = (host, int(port))
        self._port = free_port()
        self._open: set[Connection] = set()
        self._limits = {"requests": _NO_LIMIT, "answers": _NO_LIMIT}
        self._swallows_new_ones = False

    @property
    def url(self) -> str:
        """The address in the form that the setting `qdrant.grpc.url` takes, the same for the proxy's whole life."""
        return f"http://{LOCALHOST}:{self._port}"

    @property
    def connections(self) -> int:
        """How many connections are open, half-open ones included."""
        return len(self._open)

    def reset(self) -> None:
        """Reset both ends of every connection. Bytes on their way may arrive or not."""
        self._run(self._reset())

    @contextmanager
    def refused(self) -> Iterator[None]:
        """Reset every connection as `reset` does, and listen again only after this block."""
        self._run(self._stop())
        try:
            yield
        finally:
            self._run(self._start())

    @contextmanager
    def half_open(self, *, new_ones_too: bool = False) -> Iterator[None]:
        """Swallow for ever what either end of an open connection sends, and that the server closes it.

        It ends when its client closes it. What the proxy passed on before may still arrive. Connections made inside
        the block work, or with `new_ones_too` are swallowed for ever likewise.
        """
        self._run(self._deaden(new_ones_too=new_ones_too))
        try:
            yield
        finally:
            self._swallows_new_ones = False

    def cutting_requests(self, after: int) -> AbstractContextManager[None]:
        """Reset each connection, open or new, once exactly so many more bytes have arrived at the server.

        With 0, it is reset when the client next sends something.
        """
        return self._cutting("requests", after)

    def cutting_answers(self, after: int) -> AbstractContextManager[None]:
        """Reset each connection, open or new, once exactly so many more bytes have arrived at the client."""
        return self._cutting("answers", after)

    @contextmanager
    def _cutting(self, way: str, after: int) -> Iterator[None]:
        self._run(self._limit(way, after))
        try:
            yield
        finally:
            self._run(self._limit(way, _NO_LIMIT))

    async def _start(self) -> None:
        self._listener = socket.create_server((LOCALHOST, self._port))  # sets SO_REUSEADDR
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        with suppress(OSError):  # nobody is waiting, or the listener is closed
            while True:
                client, _ = self._listener.accept()
                connection = Connection(client, self._limits, is_dead=self._swallows_new_ones)
                connection.task = self._loop.create_task(self._serve(connection))
                connection.task.add_done_callback(partial(self._close, connection))
                self._open.add(connection)
                self.accepted += 1

    def _made(self) -> list[Connection]:
        self._accept()  # the system may have made some by now that the loop has not heard of
        return list(self._open)

    async def _serve(self, connection: Connection) -> None:
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._loop.sock_connect(connection.server, self._target)
            tasks += [self._loop.create_task(self._pass_on(connection, way)) for way in self._limits]
            await asyncio.gather(*tasks)
        except OSError:  # one end was reset, or there is no server
            connection.reset_when_closed()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)  # no socket may be closed while it is in use

    async def _pass_on(self, connection: Connection, way: str) -> None:
        ends = connection.client, connection.server
        source, sink = ends if way == "requests" else ends[::-1]
        while data := await self._receive(connection, source):
            await asyncio.sleep(self.delay)
            if connection.is_dead:
                self.swallowed += len(data)
                continue
            passed = data[: connection.left[way]]
            connection.left[way] -= len(passed)
            is_last = connection.left[way] == 0
            await self._loop.sock_sendall(sink, passed)  # waits while the other end takes no more
            if is_last:
                await _arrived(sink)
                self._cut(connection)
                return
        if not connection.is_dead:
            sink.shutdown(socket.SHUT_WR)
        elif source is connection.client:
            connection.task.cancel()

    async def _receive(self, connection: Connection, source: socket.socket) -> bytes:
        try:
            return await self._loop.sock_recv(source, _CHUNK)
        except OSError:
            if connection.is_dead:
                return b""
            raise

    async def _reset(self) -> None:
        connections = self._made()
        for connection in connections:
            self._cut(connection)
        await asyncio.gather(*(connection.task for connection in connections), return_exceptions=True)

    async def _stop(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await self._reset()

    async def _deaden(self, *, new_ones_too: bool) -> None:
        for connection in self._made():
            connection.is_dead = True
        self._swallows_new_ones = new_ones_too

    async def _limit(self, way: str, after: int) -> None:
        for connection in self._made():
            connection.left[way] = after
        self._limits[way] = after

    def _cut(self, connection: Connection) -> None:
        self.cut += 1
        self._open.discard(connection)
        connection.reset_when_closed()
        connection.task.cancel()

    def _close(self, connection: Connection, _task: asyncio.Task[None]) -> None:
        self._open.discard(connection)
        connection.client.close()
        connection.server.close()


async def _arrived(sink: socket.socket) -> None:
    """Return once the other end's system has everything: a reset discards what is still on its way."""
    while any(fcntl.ioctl(sink, termios.TIOCOUTQ, bytes(4))):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.001)
