"""A gRPC server between the job and the real Qdrant that delays, holds and counts what passes through it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import grpc

from scripts.stack.processes import LOCALHOST, wait_until
from tests.support.loops import OnItsOwnLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
# What the transport adds to the metadata of every call, and adds again when it is forwarded.
_OF_TRANSPORT = ("grpc-", "user-agent", "content-type", "te")


def random_delay(least: float, most: float, seed: int) -> Callable[[], float]:
    """Return a delay for `GrpcProxy` that differs from call to call."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    return lambda: rng.uniform(least, most)


class GrpcProxy(OnItsOwnLoop, grpc.GenericRpcHandler):
    """Forwards every unary call, bytes and metadata as they are, and gives back what the server says.

    A call whose caller is gone is given up, as a packet on a torn connection is.

    Args:
        target: The server, as host:port.
        delay: The seconds that a call waits before it is forwarded, asked once for each.

    Attributes:
        calls: How many calls came, by method, such as `Upsert`.
        most_waiting: The most calls that were under way at once.
    """

    def __init__(self, target: str, delay: Callable[[], float] = float) -> None:
        super().__init__("grpc-proxy")
        self.delay = delay
        self.calls: Counter[str] = Counter()
        self.most_waiting = 0
        self._target = target
        self._waiting = self._forwarded = 0

    @property
    def url(self) -> str:
        """The address in the form that the setting `qdrant.grpc.url` takes."""
        return f"http://{LOCALHOST}:{self._port}"

    @property
    def waiting(self) -> int:
        """How many calls are under way: delayed, held, or with the server."""
        return self._waiting

    @contextmanager
    def held(self) -> Iterator[None]:
        """Forward nothing inside this block; what was forwarded before is answered when it begins."""
        self._loop.call_soon_threadsafe(self._gate.clear)
        wait_until(lambda: not self._gate.is_set() and not self._forwarded, "the proxy to hold", 10, every=0.01)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._gate.set)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return the handler of one call, whatever its method is. gRPC calls this."""
        method = handler_call_details.method
        return grpc.unary_unary_rpc_method_handler(partial(self._pass_on, method))

    async def _pass_on(self, method: str, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.calls[method.rpartition("/")[2]] += 1
        self._waiting += 1
        self.most_waiting = max(self.most_waiting, self._waiting)
        try:
            await asyncio.sleep(self.delay())
            while not self._gate.is_set():  # it may have been closed again before this call came to run
                await self._gate.wait()
            return await self._forward(method, request, context)
        finally:
            self._waiting -= 1

    async def _forward(self, method: str, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = [pair for pair in context.invocation_metadata() or () if not pair[0].startswith(_OF_TRANSPORT)]
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        self._forwarded += 1
        try:
            return await call(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata()))
        finally:
            self._forwarded -= 1

    async def _start(self) -> None:
        self._gate = asyncio.Event()
        self._gate.set()
        self._channel = grpc.aio.insecure_channel(self._target, _OPTIONS)
        self._server = grpc.aio.server(handlers=[self], options=_OPTIONS)
        self._port = self._server.add_insecure_port(f"{LOCALHOST}:0")
        await self._server.start()

    async def _stop(self) -> None:
        await self._server.stop(grace=None)
        await self._channel.close()
