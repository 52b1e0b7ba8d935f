"""The ZooKeeper in Flink's own distribution, for a cluster with high availability."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.stack.flink_home import FlinkHome
from scripts.stack.processes import LOCALHOST, Process, free_port, is_listening

if TYPE_CHECKING:
    from typing_extensions import Self

_START_SECONDS = 60


class ZooKeeper:
    """One ZooKeeper on 127.0.0.1.

    Attributes:
        address: Where it is, as host:port.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.address = f"{LOCALHOST}:{self._port}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="zookeeper-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            process = stack.enter_context(self._launch(FlinkHome(folder)))
            process.wait_ready(lambda: is_listening(self._port), _START_SECONDS)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def _launch(self, home: FlinkHome) -> Process:
        home.prepare(free_port(), 1, {"zookeeper.heap.mb": 64})
        settings = {
            "clientPort": self._port,
            "clientPortAddress": LOCALHOST,
            "dataDir": home.folder / "data",
            "tickTime": 500,
            "admin.enableServer": "false",
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (home.folder / "conf" / "zoo.cfg").write_text("".join(lines))
        command = home.command("zookeeper.sh", "start-foreground", "1")
        log = home.log_dir / "zookeeper.out"
        return Process("ZooKeeper", command, log=log, env=home.environment(), cwd=home.folder)
