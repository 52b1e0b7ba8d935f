"""What a new user does wrong, done for real with `python -m job.main`, and the sentence that comes back.

The other ways are held where what notices them is tested: settings in tests/unit/job/test_arguments.py, options of
Flink in test_client.py, Qdrant and Kafka in tests/contract/test_preflight.py, files and a full disk in
tests/contract/test_validate.py, scripts in tests/contract/test_setup.py, and the words of Flink that take another
Python or another machine to provoke in tests/unit/job/test_traces.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import ROOT
from tests.support.minicluster import job_arguments, run_job
from tests.support.pythons import python_without
from tests.support.topics import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant

pytestmark = pytest.mark.timeout(120)

# What Java 8 writes about options that it does not know yet.
OLD_JAVA = 'echo "Unrecognized option: --add-opens=jdk.proxy2/jdk.proxy2=ALL-UNNAMED" >&2\nexit 1'
JAVA_WANTED = "Install it (Debian: openjdk-17-jre-headless), and see that it is on PATH or that JAVA_HOME names its"


@pytest.fixture(scope="module")
def arguments(kafka: Kafka, qdrant: Qdrant) -> list[str]:
    """Return arguments with which nothing else is wrong, for a topic of one message."""
    write(kafka, "misuse", [(None, json.dumps({"collection_name": "misuse", "id": 1}).encode())])
    with closing(qdrant.client()) as client:
        client.create_collection("misuse", vectors_config={})
    return job_arguments(kafka, qdrant, "misuse")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(
            ["-S", "-m", "job.main"],
            "finds no module 'py4j'. Use .venv/bin/python, which ./scripts/demo sets up, or install what requirements",
            id="another-python",
        ),
        pytest.param(
            ["job/main.py"],
            "finds no module 'job'. Run `python -m job.main` in the folder of this project, or `flink run` with `-pyfs",
            id="zip-not-given",
        ),
    ],
)
def test_modules_that_the_client_lacks_are_said(command: list[str], said: str) -> None:
    """A Python without the packages, and a job without its zip, are one sentence instead of a traceback."""
    ended = subprocess.run([sys.executable, *command], cwd=ROOT, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"The job was not started: {sys.executable} {said}")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "why"),
    [
        pytest.param(None, "cannot be run (No such file or directory). ", id="absent"),
        pytest.param(OLD_JAVA, "says: Unrecognized option: --add-opens=", id="too-old"),
    ],
)
def test_java_that_does_not_start_is_said(arguments: list[str], tmp_path: Path, script: str | None, why: str) -> None:
    """Where Flink has no Java to run, the sentence names the one that was tried, and what it wrote."""
    java = tmp_path / "bin" / "java"
    if script is not None:
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
    ended = run_job(*arguments, folder=tmp_path, env={"JAVA_HOME": str(tmp_path)})
    heading, fault = ended.stderr.splitlines()
    assert (ended.code, ended.stdout, heading) == (2, "", "The job was not started:")
    assert fault.startswith(f"  - Flink needs Java 17 or 21, and `{java}` {why}")
    assert JAVA_WANTED in fault


def port_taken(kafka: Kafka, _folder: Path) -> tuple[dict[str, str], str]:
    """Give Flink's web page a port that somebody listens on."""
    port = kafka.bootstrap.rpartition(":")[2]
    return {"flink.rest.port": port}, f"The port of Flink's web page, {port}, is taken: give another one as "


def no_right_to_write(_kafka: Kafka, folder: Path) -> tuple[dict[str, str], str]:
    """Keep checkpoints below a file, where nobody can make a folder, root included."""
    (folder / "file").touch()
    said = "Flink cannot keep checkpoints where it should: FileAlreadyExistsException: "
    return {"execution.checkpointing.dir": f"{folder}/file/checkpoints"}, said


def no_python(_kafka: Kafka, _folder: Path) -> tuple[dict[str, str], str]:
    """Name a Python that is not there."""
    said = "The workers' Python, '/nowhere/python', cannot be run: No such file or directory. Let python.executable, or"
    return {"flink.python.executable": "/nowhere/python"}, said


def no_pyflink(_kafka: Kafka, folder: Path) -> tuple[dict[str, str], str]:
    """Name a Python that nothing was installed for."""
    python = python_without(folder / "a venv", "")
    said = f"The workers' Python, {python}, has no PyFlink. Install apache-flink, qdrant-client, orjson and"
    return {"flink.python.executable": str(python)}, said


def no_library(_kafka: Kafka, folder: Path) -> tuple[dict[str, str], str]:
    """Name a Python that has all but one of the packages."""
    python = python_without(folder / "venv", "orjson")
    return {"flink.python.executable": str(python)}, "The workers' Python has no module 'orjson'. Install apache-flink"


@pytest.mark.parametrize("misuse", [port_taken, no_right_to_write, no_python, no_pyflink, no_library])
def test_what_flink_meets_first_is_said_before_its_trace(
    kafka: Kafka, arguments: list[str], tmp_path: Path, misuse: Callable[[Kafka, Path], tuple[dict[str, str], str]]
) -> None:
    """What only shows when the job runs comes back as help in the first line."""
    settings, said = misuse(kafka, tmp_path)
    ended = run_job(*arguments, *(f"--{name}={value}" for name, value in settings.items()), folder=tmp_path)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"The job failed. {said}")
