"""The image of flink-conf/Dockerfile without Docker: its steps, carried out in a folder in place of the image's root.

Both stages share the folder, so what is copied from one to the other must keep its path, and has it already.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import uv

from scripts.stack.flink import FlinkCluster
from scripts.stack.flink_home import FlinkHome
from scripts.stack.processes import ROOT
from tests.support.deployments import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# The image's own folders, as they begin in Dockerfile and manifests.
_FOLDERS = re.compile(r"(?<![\w.])/(opt|run|tmp|usr|var)/")
# What cannot be done here as it is written, and what is done instead.
INSTEAD = {
    # It comes from GitHub. In its place is the Python that runs the tests.
    r"uv python install \S+": "true",
    r"--python \d\S*": f"--python {shlex.quote(sys.executable)}",
    r"UV_NO_CACHE=1": "",
    # There is no user `flink`.
    r"chown -R flink:flink": "chown -R $(id -u):$(id -g)",
}


@dataclass
class Image:
    """A folder that is filled as the Dockerfile says.

    Attributes:
        root: The folder, empty at first.
        arguments: What `docker build` is given as `--build-arg`.
        instead: Which of the exchanges above were made.
        environment: The variables of the stage.
    """

    root: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    instead: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    _variables: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        """Carry out each step; raise KeyError for one of a kind that this cannot do."""
        kinds: dict[str, Callable[[str], object]] = {
            "ARG": self._declare,
            "FROM": self._begin,
            "COPY": self._copy,
            "ENV": self._set,
            "RUN": self._run,
            "USER": str,  # nothing: all is done as the user of the tests
        }
        for kind, rest in steps():
            kinds[kind](self._exchanged(self.inside(rest)))

    def inside(self, text: str) -> str:
        """Return a text of the deployment with the image's paths as they are here."""
        return _FOLDERS.sub(rf"{self.root}/\1/", text)

    def path(self, text: str) -> Path:
        """Return where a path of the image is."""
        return Path(self.inside(text))

    def _exchanged(self, rest: str) -> str:
        for pattern, instead in INSTEAD.items():
            rest, count = re.subn(pattern, instead, rest)
            self.instead |= {pattern} if count else set()
        return rest

    def _declare(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self._variables[name] = self.arguments.get(name, default)

    def _begin(self, rest: str) -> None:
        self.environment = {"PATH": f"{self.root}/usr/local/bin:{os.environ['PATH']}"}
        if "$" in rest:
            self._put_flink()

    def _put_flink(self) -> None:
        # The base image is not here, but pip has the same files; the environment was made in the stage before.
        [pyflink] = self.path("/opt/venv/").glob("lib/python*/site-packages/pyflink")
        for name in ("bin", "conf", "lib", "opt", "plugins"):
            # Linked, as they are large; but Flink's scripts would follow a link to themselves.
            copy = shutil.copy if name in {"bin", "conf"} else os.symlink
            shutil.copytree(pyflink / name, self.path(f"/opt/flink/{name}"), copy_function=copy)

    def _copy(self, rest: str) -> None:
        *sources, target = shlex.split(Template(rest).substitute(self._variables))
        if sources[0].startswith("--from=ghcr.io/astral-sh/uv"):
            Path(target).parent.mkdir(parents=True)
            Path(target).symlink_to(uv.find_uv_bin())
        elif sources[0].startswith("--from"):
            assert sources[1:] == [target]
        else:
            folder = Path(target)
            (folder if target.endswith("/") else folder.parent).mkdir(parents=True, exist_ok=True)
            for source in sources:
                shutil.copy(self._built() if source == "dist/job.zip" else ROOT / source, folder)

    def _built(self) -> Path:
        # Elsewhere than in `dist`, where another test may be building it.
        target = self.root / "dist" / "job.zip"
        subprocess.run([ROOT / "scripts" / "package", target], check=True, capture_output=True)
        return target

    def _set(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self.environment[name] = Template(value).substitute(self.environment)

    def _run(self, rest: str) -> None:
        # As pip does here, uv takes the system's authorities, not only its own: the network may have one in between.
        variables = {**os.environ, "UV_SYSTEM_CERTS": "1", **self.environment}
        done = subprocess.run(
            ["/bin/sh", "-c", rest],
            check=False,
            env=variables,
            cwd=self.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


class ImageCluster(FlinkCluster):
    """A cluster of the image's Flink that runs one job with the image's Python.

    Args:
        image: What its processes run.
        config: Flink's settings.
        application: What follows `standalone-job.sh start-foreground`.
    """

    def __init__(self, image: Image, config: Mapping[str, object], application: Sequence[str]) -> None:
        self._image = image
        # Flink's own defaults, where the local stack would name the Python that runs it.
        by_path = {"python.executable": "python", "python.client.executable": "python"}
        super().__init__(config={**by_path, **config}, env=image.environment, application=application)

    def check(self) -> None:
        """Raise StackError if the JobManager has ended, as it does with its job."""
        if self._job_manager:
            self._job_manager.check()

    def _new_home(self, folder: Path) -> FlinkHome:
        return FlinkHome(folder, self._image.path("/opt/flink/"))
