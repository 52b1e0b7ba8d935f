"""What the local stack's servers share: one process, its ports and storage kept while it stops and starts."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.stack.processes import LOCALHOST, Process, StackError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

_START_SECONDS = 60
_ROOM_MB = 200


class Server(ABC):
    """A server that is up inside its `with` block, and can be stopped, killed and restarted there.

    Args:
        name: what a person calls it; its temporary folder and log are named after it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        _require_room(tempfile.gettempdir())
        self.home = Path(tempfile.mkdtemp(prefix=f"{name.lower()}-"))
        self.log = self.home / f"{name.lower()}.log"
        self._process: Process | None = None

    @abstractmethod
    def _launch(self) -> Process:
        """Start the process and return at once."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether the server serves."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The id of the running server's process."""
        if self._process is None:
            raise StackError(f"{self.name} is not running. Start it first.")
        return self._process.pid

    def start(self) -> None:
        """Start the server and return once it serves. Call it only when it is stopped."""
        self._process = self._launch()
        self._process.wait_ready(self._is_ready, _START_SECONDS)

    def check(self) -> None:
        """Raise StackError, with the log's end, if the server has ended by itself."""
        if self._process:
            self._process.check()

    def stop(self) -> None:
        """Stop the server in good order. Harmless when it is not running."""
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        if self._process:
            self._process.kill()
        self.stop()

    def freeze(self) -> None:
        """Let the server stand still, connections open and nothing answered (SIGSTOP), until `thaw()`."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on where it stood."""
        os.killpg(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start again, on the same ports and storage, stopping first what still runs."""
        self.stop()
        self.start()


class PointsServer(Server):
    """A server with the two interfaces of Qdrant, or of what takes its place."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._rest_port, self._grpc_port = free_port(), free_port()

    @property
    def rest_url(self) -> str:
        """The address of the REST interface."""
        return f"http://{LOCALHOST}:{self._rest_port}"

    @property
    def grpc_url(self) -> str:
        """The address of the gRPC interface, in the form that the setting `qdrant.grpc.url` takes."""
        return f"http://{LOCALHOST}:{self._grpc_port}"


@contextmanager
def blamed(*servers: Server) -> Iterator[None]:
    """Let an error inside be told as the end of a server, with its log, if one of these has ended by itself."""
    try:
        yield
    except Exception:
        for server in servers:
            server.check()
        raise


def _require_room(folder: str) -> None:
    # On a full disk each server fails in another way, and few of them say why.
    free = shutil.disk_usage(folder).free // 2**20
    if free < _ROOM_MB:
        raise StackError(
            f"Only {free} MB are free in {folder}, and each server wants {_ROOM_MB}. Make room there, or name another"
            " folder in TMPDIR."
        )
