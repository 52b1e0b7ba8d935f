"""The ZooKeeper in Flink's own distribution, for a cluster with high availability."""

from __future__ import annotations

from scripts.stack.flink_home import FlinkHome
from scripts.stack.processes import LOCALHOST, Process, free_port, is_listening
from scripts.stack.server import Server


class ZooKeeper(Server):
    """One ZooKeeper on 127.0.0.1.

    Attributes:
        address: Where it is, as host:port.
    """

    def __init__(self) -> None:
        super().__init__("ZooKeeper")
        self._port = free_port()
        self.address = f"{LOCALHOST}:{self._port}"
        self._flink = FlinkHome(self.home)
        self._flink.prepare(free_port(), 1, {"zookeeper.heap.mb": 64})
        settings = {
            "clientPort": self._port,
            "clientPortAddress": LOCALHOST,
            "dataDir": self.home / "data",
            "tickTime": 500,
            "admin.enableServer": "false",
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.home / "conf" / "zoo.cfg").write_text("".join(lines))

    def _launch(self) -> Process:
        command = self._flink.command("zookeeper.sh", "start-foreground", "1")
        return Process(self.name, command, log=self.log, env=self._flink.environment(), cwd=self.home)

    def _is_ready(self) -> bool:
        return is_listening(self._port)
