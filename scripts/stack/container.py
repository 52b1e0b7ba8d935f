"""Qdrant from Docker's image, for machines that the binary does not run on."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.stack.processes import LOCALHOST, Process, StackError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

IMAGE = "qdrant/qdrant:v1.16.3"


@dataclass(frozen=True)
class Container:
    """One container that keeps its ports and its storage, which is inside it, until it is removed.

    Never run where it was written, which has no Docker engine: the tests use the binary.
    """

    name: str
    rest_port: int
    grpc_port: int
    settings: Mapping[str, str]

    def launch(self, log: Path) -> Process:
        """Start the container, creating it first if need be, and return the process that is attached to it."""
        if shutil.which("docker") is None or not self._docker("info"):
            raise StackError("There is neither target/qdrant/qdrant nor a running Docker. Run scripts/test once.")
        if not self._docker("container", "inspect", self.name):
            self._create()
        last_rites = ["docker", "rm", "--force", "--volumes", self.name]
        return Process("Qdrant", ["docker", "start", "--attach", self.name], log=log, last_rites=last_rites)

    def stop(self) -> None:
        """Stop the container in good order."""
        self._docker("stop", self.name)

    def kill(self) -> None:
        """End the container as a crash would (SIGKILL)."""
        self._docker("kill", self.name)

    def pause(self) -> None:
        """Let everything in the container stand still."""
        self._docker("pause", self.name)

    def unpause(self) -> None:
        """Let a paused container go on."""
        self._docker("unpause", self.name)

    def remove(self) -> None:
        """Remove the container and its storage."""
        self._docker("rm", "--force", "--volumes", self.name)

    def _create(self) -> None:
        publish = [f"{LOCALHOST}:{self.rest_port}:6333", f"{LOCALHOST}:{self.grpc_port}:6334"]
        options = ["--init", "--name", self.name]
        options += [part for ports in publish for part in ("--publish", ports)]
        # Names only: the values, an API key among them, go through the environment, not the process list.
        options += [part for setting in self.settings for part in ("--env", setting)]
        if not self._docker("create", *options, IMAGE):
            raise StackError(f"Docker could not create a container. Does `docker pull {IMAGE}` work?")

    def _docker(self, *args: str) -> bool:
        environment = {**os.environ, **self.settings}
        return subprocess.run(["docker", *args], check=False, capture_output=True, env=environment).returncode == 0
