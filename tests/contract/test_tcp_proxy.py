"""The TCP proxy between clients and servers that watch every byte, and between gRPC and the real Qdrant."""

from __future__ import annotations

import itertools
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_client.grpc import (
    CollectionsStub,
    ListCollectionsRequest,
    PointsStub,
    UpdateStatus,
    UpsertPoints,
)

from scripts.stack.processes import LOCALHOST, free_port, wait_until
from tests.support.tcp_proxy import TcpProxy
from udfs.core.operations import Upsert
from udfs.core.vectors import read_vectors
from udfs.qdrant.encode import encode_upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from scripts.stack.qdrant import Qdrant

MEGABYTE = random.Random(6).randbytes(2**20)  # noqa: S311 - no secret
BOTH_WAYS = pytest.mark.parametrize("way", ["requests", "answers"])

_numbers = itertools.count()


class Wire:
    """A server's listening socket behind a proxy; clients and servers are plain sockets that wait 20 s at most."""

    def __init__(self) -> None:
        self._sockets = ExitStack()
        self._listener = self._sockets.enter_context(socket.create_server((LOCALHOST, 0)))
        self._listener.settimeout(20)
        self.port: int = self._listener.getsockname()[1]
        self.proxy = self._sockets.enter_context(TcpProxy(f"{LOCALHOST}:{self.port}"))

    def close(self) -> None:
        """Close everything."""
        self._sockets.close()

    def connect(self) -> socket.socket:
        """Return a new client's end."""
        address = self.proxy.url.removeprefix("http://").split(":")
        return self._sockets.enter_context(socket.create_connection((address[0], int(address[1])), timeout=20))

    def ends(self) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a new connection, client first."""
        client = self.connect()
        server, _ = self._listener.accept()
        server.settimeout(20)
        return client, self._sockets.enter_context(server)

    def ends_of(self, way: str) -> tuple[socket.socket, socket.socket]:
        """Return both ends of a new connection, the one that sends first."""
        client, server = self.ends()
        return (client, server) if way == "requests" else (server, client)


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Sockets on either side of a proxy."""
    with closing(Wire()) as some:
        yield some


@pytest.fixture
def proxy(qdrant: Qdrant) -> Iterator[TcpProxy]:
    """A proxy before the real Qdrant."""
    with TcpProxy(qdrant.grpc_url.removeprefix("http://")) as some:
        yield some


@contextmanager
def channel_to(proxy: TcpProxy) -> Iterator[grpc.Channel]:
    """Open a channel with a connection of its own: gRPC would share one between channels to one address."""
    options = (
        ("grpc.use_local_subchannel_pool", 1),
        # Now and then gRPC overlooks a reset that comes right after some bytes, until it next sends something: a ping.
        ("grpc.keepalive_time_ms", 1000),
        # It sends none while another is unanswered, such as the one that measures bandwidth when a cut comes.
        ("grpc.http2.bdp_probe", 0),
    )
    with grpc.insecure_channel(proxy.url.removeprefix("http://"), options) as channel:
        yield channel


def cutting(proxy: TcpProxy, way: str, after: int) -> AbstractContextManager[None]:
    """Cut connections after so many bytes that way."""
    return proxy.cutting_requests(after) if way == "requests" else proxy.cutting_answers(after)


def said(channel: grpc.Channel, seconds: float = 20, *, patiently: bool = True) -> StatusCode:
    """Ask Qdrant for its collections, waiting for a connection if told to be patient, and return the status."""
    collections = CollectionsStub(channel)  # type: ignore[no-untyped-call]
    try:
        collections.List(ListCollectionsRequest(), timeout=seconds, wait_for_ready=patiently)
    except grpc.RpcError as error:
        return error.code()
    return StatusCode.OK


def received(end: socket.socket, count: int) -> bytes:
    """Return the next so many bytes, or fewer if the connection ends before."""
    data = b""
    while len(data) < count and (more := end.recv(count - len(data))):
        data += more
    return data


def received_before_reset(end: socket.socket) -> bytes:
    """Return everything that comes before the connection is reset; if it is closed in good order, fail."""
    data = bytearray()
    try:
        while more := end.recv(2**16):
            data += more
    except ConnectionResetError:
        return bytes(data)
    pytest.fail("The connection was closed, not reset.")


def send_until_reset(end: socket.socket, data: bytes) -> bool:
    """Send everything, or as much as goes before the connection is reset, and return whether it was.

    Linux tells an end of a reset once: whoever sends and is told leaves those who receive a mere end.
    """
    try:
        end.sendall(data)
    except ConnectionResetError:
        return True
    return False


def crash(end: socket.socket) -> None:
    """Reset the connection from this end, as a process that is killed may do."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def round_trip(client: socket.socket, server: socket.socket) -> bool:
    """Send a byte each way and say whether both arrive."""
    client.sendall(b"?")
    server.sendall(b"!")
    return (received(server, 1), received(client, 1)) == (b"?", b"!")


def test_a_megabyte_passes_unchanged_both_ways_at_once(wire: Wire) -> None:
    """Every byte arrives, in order, and so does the end of each way."""
    client, server = wire.ends()

    def say(end: socket.socket, data: bytes) -> None:
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)

    with ThreadPoolExecutor() as threads:
        threads.submit(say, client, MEGABYTE)
        threads.submit(say, server, MEGABYTE[::-1])
        answer = threads.submit(received, client, 2 * len(MEGABYTE))
        assert received(server, 2 * len(MEGABYTE)) == MEGABYTE
        assert answer.result() == MEGABYTE[::-1]
    wait_until(lambda: not wire.proxy.connections, "the proxy to see the end", 20)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=3000)), max_size=20))
def test_any_conversation_passes_unchanged(messages: list[tuple[bool, bytes]]) -> None:
    """Whoever speaks, and however much, the other end hears the same."""
    with closing(Wire()) as wire:
        client, server = wire.ends()
        for is_request, message in messages:
            source, sink = (client, server) if is_request else (server, client)
            source.sendall(message)
            assert received(sink, len(message)) == message


@BOTH_WAYS
def test_an_end_that_has_said_all_may_still_listen(wire: Wire, way: str) -> None:
    """A connection that is closed one way stays open the other way, until that is closed too."""
    source, sink = wire.ends_of(way)
    source.sendall(b"question")
    source.shutdown(socket.SHUT_WR)
    assert received(sink, 100) == b"question"
    sink.sendall(b"answer")
    sink.close()
    assert received(source, 100) == b"answer"


@BOTH_WAYS
def test_delay_holds_bytes_and_keeps_their_order(wire: Wire, way: str) -> None:
    """On a connection that is open already, each way."""
    source, sink = wire.ends_of(way)
    wire.proxy.delay = 0.3
    start = time.monotonic()
    source.sendall(b"a")
    assert received(sink, 1) == b"a"
    assert time.monotonic() - start >= 0.3
    wire.proxy.delay = 0.01
    for number in range(100):
        source.sendall(bytes([number]))
    assert received(sink, 100) == bytes(range(100))


def test_delay_holds_a_real_call_twice(proxy: TcpProxy) -> None:
    """Once on the way to Qdrant and once on the way back."""
    with channel_to(proxy) as channel:
        assert said(channel) is StatusCode.OK
        proxy.delay = 0.3
        start = time.monotonic()
        assert said(channel) is StatusCode.OK
        assert time.monotonic() - start >= 0.6


@BOTH_WAYS
def test_an_end_that_reads_nothing_stops_the_other(wire: Wire, way: str) -> None:
    """What the proxy takes is bounded, so a frozen server is felt by its client."""
    source, _ = wire.ends_of(way)
    source.settimeout(1)
    with pytest.raises(TimeoutError):
        source.sendall(bytes(100 * 2**20))


def test_refused_resets_and_listens_on_the_same_port_again(wire: Wire) -> None:
    """Inside the block nobody can connect; afterwards everybody can."""
    client, server = wire.ends()
    url = wire.proxy.url
    with wire.proxy.refused():
        assert received_before_reset(client) == received_before_reset(server) == b""
        with pytest.raises(ConnectionRefusedError):
            wire.connect()
    assert round_trip(*wire.ends())
    assert (wire.proxy.url, wire.proxy.accepted, wire.proxy.cut, wire.proxy.connections) == (url, 2, 1, 1)


def test_grpc_is_refused_and_comes_back_by_itself(proxy: TcpProxy) -> None:
    """The same channel works before and after."""
    with channel_to(proxy) as channel:
        assert said(channel) is StatusCode.OK
        with proxy.refused():
            wait_until(lambda: said(channel, patiently=False) is StatusCode.UNAVAILABLE, "gRPC to notice", 20)
        assert said(channel) is StatusCode.OK
    assert proxy.accepted == 2


def test_reset_ends_every_connection_on_both_sides(wire: Wire) -> None:
    """Also one that was made a moment ago; new ones work."""
    used, just_made = wire.ends(), wire.connect()
    assert round_trip(*used)
    wire.proxy.reset()
    for end in (*used, just_made):
        assert received_before_reset(end) == b""
    assert (wire.proxy.cut, wire.proxy.connections) == (2, 0)


@BOTH_WAYS
def test_a_reset_by_one_end_reaches_the_other(wire: Wire, way: str) -> None:
    """As it would without a proxy, and it is no fault of the proxy's."""
    source, sink = wire.ends_of(way)
    crash(source)
    assert received_before_reset(sink) == b""
    assert wire.proxy.cut == 0


def test_a_client_whose_server_is_away_is_reset() -> None:
    """It is accepted all the same, since the proxy is there."""
    with TcpProxy(f"{LOCALHOST}:{free_port()}") as proxy:
        host, port = proxy.url.removeprefix("http://").split(":")
        # The reset may come while `connect` still waits.
        with pytest.raises(ConnectionResetError), socket.create_connection((host, int(port)), timeout=20) as client:
            client.recv(1)


def test_a_half_open_connection_swallows_everything_for_ever(wire: Wire) -> None:
    """Both ways, and after the block too, until its client closes it; new ones work."""
    client, server = wire.ends()
    with wire.proxy.half_open():
        client.sendall(b"lost")
        server.sendall(b"lost too")
        wait_until(lambda: wire.proxy.swallowed == 12, "the proxy to swallow both", 20)
        assert round_trip(*wire.ends())
    client.sendall(b"lost again")
    wait_until(lambda: wire.proxy.swallowed == 22, "the proxy to swallow more", 20)
    for end in (client, server):
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            end.recv(1)
    assert (wire.proxy.connections, wire.proxy.cut) == (2, 0)
    client.close()
    wait_until(lambda: wire.proxy.connections == 1, "the proxy to see the client's end", 20)


@pytest.mark.parametrize("end", [crash, socket.socket.close], ids=["crash", "close"])
def test_a_half_open_connection_swallows_the_end_of_its_server(
    wire: Wire, end: Callable[[socket.socket], None]
) -> None:
    """A server that is gone is as silent as one that hangs."""
    client, server = wire.ends()
    with wire.proxy.half_open():
        end(server)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_call_through_a_half_open_connection_ends_at_its_deadline(proxy: TcpProxy) -> None:
    """A new connection works, inside the block and after it, while the old one stays dead."""
    with channel_to(proxy) as old, channel_to(proxy) as new:
        assert said(old) is StatusCode.OK
        with proxy.half_open():
            assert said(old, seconds=1) is StatusCode.DEADLINE_EXCEEDED
            assert said(new) is StatusCode.OK
        assert said(old, seconds=1) is StatusCode.DEADLINE_EXCEEDED
        assert said(new) is StatusCode.OK
        assert (proxy.accepted, proxy.connections) == (2, 2)


def test_new_connections_may_be_half_open_too(proxy: TcpProxy) -> None:
    """Those made inside the block swallow; those made after it work."""
    with channel_to(proxy) as inside, channel_to(proxy) as after:
        with proxy.half_open(new_ones_too=True):
            assert said(inside, seconds=1) is StatusCode.DEADLINE_EXCEEDED
        assert proxy.swallowed > 0
        assert said(after) is StatusCode.OK


@BOTH_WAYS
@pytest.mark.parametrize("after", [0, 1, 100_000])
def test_a_cut_lets_exactly_so_many_bytes_pass(wire: Wire, way: str, after: int) -> None:
    """On a connection that was used before, and on a new one; then both ends are reset."""
    used = wire.ends_of(way)
    assert round_trip(*used)
    with cutting(wire.proxy, way, after):
        for source, sink in (used, wire.ends_of(way)):
            with ThreadPoolExecutor() as threads:
                sending = threads.submit(send_until_reset, source, MEGABYTE)
                assert received_before_reset(sink) == MEGABYTE[:after]
            assert sending.result() or received_before_reset(source) == b""
    assert wire.proxy.cut == 2
    assert round_trip(*wire.ends())


@BOTH_WAYS
def test_a_cut_waits_for_a_slow_reader(wire: Wire, way: str) -> None:
    """What the other end's system has not taken yet is not lost by the reset."""
    source, sink = wire.ends_of(way)
    with cutting(wire.proxy, way, 20 * len(MEGABYTE)), ThreadPoolExecutor() as threads:
        threads.submit(send_until_reset, source, MEGABYTE * 21)
        time.sleep(0.5)  # all buffers between them fill up
        assert received_before_reset(sink) == MEGABYTE * 20


def test_bytes_before_the_block_and_the_other_way_do_not_count(wire: Wire) -> None:
    """Nor does anything once the block is over."""
    client, server = wire.ends()
    client.sendall(MEGABYTE[:5000])
    assert received(server, 5000) == MEGABYTE[:5000]
    with wire.proxy.cutting_requests(10):
        server.sendall(MEGABYTE[:5000])
        assert received(client, 5000) == MEGABYTE[:5000]
        client.sendall(b"123456789")
        assert received(server, 9) == b"123456789"
    client.sendall(MEGABYTE[:5000])
    assert received(server, 5000) == MEGABYTE[:5000]
    assert (wire.proxy.cut, wire.proxy.connections) == (0, 1)


@BOTH_WAYS
def test_an_upsert_through_a_cut_is_unavailable_and_then_succeeds(qdrant: Qdrant, proxy: TcpProxy, way: str) -> None:
    """Cut inside the request or inside the answer, the same call on the same channel works afterwards."""
    name = f"cut-{next(_numbers)}"
    points = [encode_upsert(Upsert("", number, read_vectors([1.0] * 128), {})) for number in range(200)]
    request = UpsertPoints.FromString(b"".join(points))
    request.collection_name, request.wait = name, True
    after = 50_000 if way == "requests" else 5
    with closing(qdrant.client()) as client, channel_to(proxy) as channel:
        client.create_collection(name, models.VectorParams(size=128, distance=models.Distance.DOT))
        assert said(channel) is StatusCode.OK
        write = PointsStub(channel)  # type: ignore[no-untyped-call]
        with cutting(proxy, way, after), pytest.raises(grpc.RpcError) as error:
            write.Upsert(request, timeout=20)
        assert error.value.code() is StatusCode.UNAVAILABLE
        assert proxy.cut > 0
        assert write.Upsert(request, timeout=20, wait_for_ready=True).result.status == UpdateStatus.Completed
        assert client.count(name).count == 200
        client.delete_collection(name)
