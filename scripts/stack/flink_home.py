"""The installed Flink distribution, as the local stack's cluster runs it: its scripts, its settings, its variables."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from scripts.stack.processes import LOCALHOST, ROOT, StackError, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

# C1 alone for what does little or lives for seconds: it starts faster. TaskManagers keep both compilers.
_QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def _distribution() -> Path:
    package = importlib.util.find_spec("pyflink")
    if package is None or not package.submodule_search_locations:
        raise StackError("This Python has no PyFlink. Run scripts/test, which installs it into .venv.")
    return Path(package.submodule_search_locations[0])


@dataclass(frozen=True)
class FlinkHome:
    """A folder with the settings, logs and temporary files of one cluster, and links to the distribution and Python.

    Attributes:
        folder: where all this is.
        distribution: Flink's own folder, that of apache-flink unless given.
    """

    folder: Path
    distribution: Path = field(default_factory=_distribution)

    @property
    def log_dir(self) -> Path:
        """Where every process of the cluster logs."""
        return self.folder / "log"

    def prepare(self, rest_port: int, slots: int, overrides: Mapping[str, object]) -> None:
        """Fill the folder. `overrides` replace the settings chosen here, and those replace flink-conf/config.yaml."""
        self.log_dir.mkdir()
        (self.folder / "tmp").mkdir()
        # Flink's scripts break on a space in their own path or in Python's, so both are reached by a link without one.
        (self.folder / "python").symlink_to(sys.prefix)
        (self.folder / "conf").mkdir()
        for file in (self.distribution / "conf").glob("log*"):
            (self.folder / "conf" / file.name).write_bytes(file.read_bytes())
        shipped = yaml.safe_load((ROOT / "flink-conf" / "config.yaml").read_text())
        settings = {**shipped, **self._settings(rest_port, slots), **overrides}
        (self.folder / "conf" / "config.yaml").write_text(yaml.safe_dump(settings))

    def command(self, script: str, *args: str) -> list[str]:
        """Return the command line of one of Flink's scripts, whether or not pip left it executable."""
        return ["bash", str(self._linked(self.distribution) / "bin" / script), *args]

    def environment(self) -> dict[str, str]:
        """Return the variables that make Flink's scripts use this folder."""
        home = self._linked(self.distribution)
        return {
            "FLINK_HOME": str(home),
            "_FLINK_HOME_DETERMINED": "true",  # or config.sh resolves the link
            # What PyFlink, or a Flink of the user's own, has left in the environment would be taken for these.
            **{f"FLINK_{name.upper()}_DIR": str(home / name) for name in ("lib", "plugins", "opt")},
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LOG_DIR": str(self.log_dir),
            "FLINK_PID_DIR": str(self.folder),
            "FLINK_IDENT_STRING": "local",
            "TMPDIR": str(self.folder / "tmp"),
        }

    def _settings(self, rest_port: int, slots: int) -> dict[str, object]:
        python = str(self._linked(Path(sys.executable)))
        return {
            "env.java.opts.all": f"{self._java_options()} -Djava.io.tmpdir={self.folder / 'tmp'}",
            "env.java.opts.jobmanager": _QUICK_START,
            "env.java.opts.client": _QUICK_START,
            "jobmanager.rpc.address": LOCALHOST,
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": LOCALHOST,
            "jobmanager.memory.process.size": "1024m",
            "taskmanager.host": LOCALHOST,
            "taskmanager.bind-host": LOCALHOST,
            "taskmanager.numberOfTaskSlots": slots,
            "taskmanager.memory.process.size": f"{1556 + 200 * slots}m",
            "rest.address": LOCALHOST,
            "rest.bind-address": LOCALHOST,
            "rest.port": rest_port,
            "io.tmp.dirs": str(self.folder / "tmp"),
            "execution.checkpointing.dir": (self.folder / "checkpoints").as_uri(),
            "execution.checkpointing.savepoint-dir": (self.folder / "savepoints").as_uri(),
            "metrics.fetcher.update-interval": "1 s",  # the REST interface's view of metrics, else 10 s old
            # So long it waits for the metrics of a TaskManager that was killed, before it asks the others again.
            "web.timeout": "30 s",
            "heartbeat.interval": "1 s",
            "heartbeat.timeout": "10 s",
            "python.executable": python,
            "python.client.executable": python,
        }

    def _java_options(self) -> object:
        # What Flink's own code needs opened on Java 17; its own configuration is the only place that lists it.
        shipped = yaml.safe_load((self.distribution / "conf" / "config.yaml").read_text())
        return shipped["env"]["java"]["opts"]["all"]

    def _linked(self, path: Path) -> Path:
        prefix = Path(sys.prefix)
        return self.folder / "python" / path.relative_to(prefix) if path.is_relative_to(prefix) else path
