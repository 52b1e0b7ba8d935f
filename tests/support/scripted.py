"""A gRPC server that answers as it is told, where no Qdrant at hand can be made to."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from qdrant_client.grpc import PointsOperationResponse, UpdateResult

from scripts.stack.processes import LOCALHOST
from udfs.qdrant.connection import Connection
from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from typing_extensions import Self

GARBAGE = b"\xff"


class ScriptedServer(grpc.GenericRpcHandler):
    """Answers the calls of each method in turn, and from the last answer on always the same.

    Args:
        script: The answers by method, such as `Upsert`: what a client makes of them, or their bytes.

    Attributes:
        calls: How many calls came, by method.
    """

    def __init__(self, **script: Sequence[Answer | Message | bytes]) -> None:
        self.calls: Counter[str] = Counter()
        self._script = {method: deque(answers) for method, answers in script.items()}

    def __enter__(self) -> Self:
        # One thread, so that calls are answered in the order in which they come.
        self._server = grpc.server(ThreadPoolExecutor(max_workers=1), handlers=[self])
        self._port = self._server.add_insecure_port(f"{LOCALHOST}:0")
        self._server.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.stop(grace=None).wait()

    @property
    def url(self) -> str:
        """The address in the form that the setting `qdrant.grpc.url` takes."""
        return f"http://{LOCALHOST}:{self._port}"

    @property
    def connection(self) -> Connection:
        """How a worker reaches it."""
        return Connection(LOCALHOST, self._port, tls=False, key_source=None, timeout_seconds=10)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return the handler of one call. gRPC calls this."""
        method = handler_call_details.method.rpartition("/")[2]

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls[method] += 1
            answers = self._script[method]
            return _said(answers.popleft() if len(answers) > 1 else answers[0], context)

        return grpc.unary_unary_rpc_method_handler(answer)


def _said(answer: Answer | Message | bytes, context: grpc.ServicerContext) -> bytes:
    if isinstance(answer, bytes):
        return answer
    if not isinstance(answer, Answer):
        return answer.SerializeToString()
    if answer.code is not grpc.StatusCode.OK:
        if answer.retry_after is not None:
            context.set_trailing_metadata((("retry-after", f"{answer.retry_after:g}"),))
        context.abort(answer.code, answer.details)
    result = UpdateResult()
    result.status = answer.status  # type: ignore[assignment] # also one that is not known yet
    return PointsOperationResponse(result=result).SerializeToString()
