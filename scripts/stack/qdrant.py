"""A real Qdrant server for the demo and the tests: the binary in target/qdrant, or else Docker's image."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

import httpx
from qdrant_client import QdrantClient

from scripts.stack.container import Container
from scripts.stack.processes import LOCALHOST, ROOT, Process, StackError, is_listening
from scripts.stack.server import PointsServer

if TYPE_CHECKING:
    from collections.abc import Mapping

BINARY = ROOT / "target" / "qdrant" / "qdrant"


class Qdrant(PointsServer):
    """One Qdrant server on 127.0.0.1 that keeps its ports and its points over `stop()`, `kill()` and `restart()`.

    Args:
        api_key: what clients must show; none by default.
        env: further `QDRANT__…` settings.
    """

    def __init__(self, *, api_key: str | None = None, env: Mapping[str, str] | None = None) -> None:
        super().__init__("Qdrant")
        self.api_key = api_key
        self._settings = {"QDRANT__TELEMETRY_DISABLED": "true", **_key_setting(api_key), **(env or {})}
        self._container: Container | None = None
        if not BINARY.exists():
            self._container = Container(self.home.name, self._rest_port, self._grpc_port, self._settings)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if self._container:
            self._container.remove()

    def client(self) -> QdrantClient:
        """Return a client that writes over gRPC; the caller closes it."""
        with warnings.catch_warnings():
            # An API key without TLS is no danger on 127.0.0.1.
            warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            return QdrantClient(
                url=self.rest_url,
                grpc_port=self._grpc_port,
                prefer_grpc=True,
                api_key=self.api_key,
                check_compatibility=False,  # the server is the oldest supported, the client the newest
            )

    def rotate_key(self, api_key: str) -> None:
        """Restart with another API key, from which moment the old one is refused."""
        if self._container:
            raise StackError("A container keeps the key that it was created with: use the binary in target/qdrant.")
        self.api_key = api_key
        self._settings |= _key_setting(api_key)
        self.restart()

    def freeze(self) -> None:
        """Let the server stand still, connections open and nothing answered, until `thaw()`."""
        if self._container:
            self._container.pause()
        else:
            super().freeze()

    def thaw(self) -> None:
        """Let a frozen server go on where it stood."""
        if self._container:
            self._container.unpause()
        else:
            super().thaw()

    def stop(self) -> None:
        """Stop the server in good order. Harmless when it is not running."""
        if self._container and self._process:
            self._container.stop()
        super().stop()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        if self._container and self._process:
            self._container.kill()
        super().kill()

    def _launch(self) -> Process:
        if self._container:
            return self._container.launch(self.log)
        where = {
            "QDRANT__SERVICE__HOST": LOCALHOST,
            "QDRANT__SERVICE__HTTP_PORT": str(self._rest_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self._grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.home / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.home / "snapshots"),
        }
        return Process(self.name, [BINARY], log=self.log, env={**where, **self._settings}, cwd=self.home)

    def _is_ready(self) -> bool:
        if not is_listening(self._grpc_port):
            return False
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.rest_url}/readyz", trust_env=False).is_success
        return False


def _key_setting(api_key: str | None) -> dict[str, str]:
    return {"QDRANT__SERVICE__API_KEY": api_key} if api_key else {}
