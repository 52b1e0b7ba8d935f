"""What a person at a terminal sees of `python -m job.main`: refusals before anything starts, and the way out."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import wait_until
from tests.support.minicluster import Program, job_arguments, run_job
from tests.support.topics import write

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant

pytestmark = pytest.mark.timeout(120)

# Known to be harmful without asking Flink: refused together with all other faults of the settings.
BY_THE_SETTINGS = {
    "pipeline.operator-chaining.enabled": "false",
    "python.operator-chaining.enabled": "false",
    "execution.checkpointing.unaligned.enabled": "true",
    "python.execution-mode": "thread",
}
# Judged as they are in effect, since a cluster's config.yaml may have them, too. Among them older names of the same.
IN_EFFECT = {
    "execution.runtime-mode": "BATCH",
    "pipeline.operator-chaining": "false",
    "table.exec.resource.default-parallelism": "2",
}


@pytest.fixture(scope="module")
def arguments(kafka: Kafka, qdrant: Qdrant) -> list[str]:
    """Return arguments with which nothing else is wrong."""
    kafka.create_topic("client")
    return job_arguments(kafka, qdrant, "client")


def test_options_that_void_a_promise_are_refused(arguments: list[str], tmp_path: Path) -> None:
    """All of them at once, in a sentence each that names option and value, before a JVM is started."""
    more = [word for name, value in BY_THE_SETTINGS.items() for word in (f"--flink.{name}", value)]
    ended = run_job(*arguments, *more, "--lanes", "0", folder=tmp_path)
    assert (ended.code, ended.stdout, ended.flink_log) == (2, "", "")
    heading, *faults = ended.stderr.splitlines()
    assert heading == "The job was not started:"
    assert {fault.partition(": ")[0] for fault in faults} == {
        "  - lanes is '0'",
        *(f"  - flink.{name} is {value!r}" for name, value in BY_THE_SETTINGS.items()),
    }


def test_options_in_effect_that_void_a_promise_are_refused(arguments: list[str], tmp_path: Path) -> None:
    """All of them at once, in a sentence each that names option and value, before a cluster is started."""
    more = [word for name, value in IN_EFFECT.items() for word in (f"--flink.{name}", value)]
    ended = run_job(*arguments, *more, folder=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    heading, *faults = ended.stderr.splitlines()
    assert heading == "The job was not started:"
    assert {fault.partition(": ")[0] for fault in faults} >= {
        f"  - {name} is {value!r}" for name, value in IN_EFFECT.items()
    }
    assert "Starting Flink Mini Cluster" not in ended.flink_log


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param("execution.checkpointing.interval=0", "execution.checkpointing.interval", id="a setting here"),
        pytest.param("execution.checkpointing.timeout=soon", "execution.checkpointing.timeout", id="no duration"),
        pytest.param("table.sql-dialect=esperanto", "SqlDialect.ESPERANTO", id="of the table environment"),
    ],
)
def test_an_option_that_flink_does_not_take_is_refused(
    arguments: list[str], tmp_path: Path, option: str, said: str
) -> None:
    """An option handed on to Flink that it cannot read, or that is a setting here, is refused in a sentence."""
    ended = run_job(*arguments, f"--flink.{option}", folder=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("The job was not started:\n  - ")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "\tat " not in ended.stderr


def test_ctrl_c_ends_everything(kafka: Kafka, qdrant: Qdrant, tmp_path: Path) -> None:
    """Ctrl-C ends a running job within seconds, without a word, and leaves neither a JVM nor a Python worker."""
    write(kafka, "interrupted", [(None, json.dumps({"collection_name": "interrupted", "id": 1}).encode())])
    client = qdrant.client()
    client.create_collection("interrupted", vectors_config={})
    with Program("job.main", *job_arguments(kafka, qdrant, "interrupted"), folder=tmp_path) as program:
        wait_until(lambda: client.count("interrupted").count == 1, "the message to arrive", 60)
        client.close()
        running = program.processes()
        assert {"java", "bash"} <= set(running)
        assert running.count("python") >= 2
        program.interrupt()
        ended = program.ended(10)
        wait_until(lambda: not program.processes(), "the JVM and the Python workers to end", 10)
    assert (ended.code, ended.stdout, ended.stderr) == (130, "", "")


def test_more_slots_than_partitions_are_told(kafka: Kafka, qdrant: Qdrant, tmp_path: Path) -> None:
    """The job does its work, and says that one of its slots has none."""
    write(kafka, "narrow", [(None, json.dumps({"collection_name": "narrow", "id": 1}).encode())])
    with closing(qdrant.client()) as client:
        client.create_collection("narrow", vectors_config={})
        ended = run_job(
            *job_arguments(kafka, qdrant, "narrow", parallelism=2), "--scan.bounded.mode=latest-offset", folder=tmp_path
        )
        assert ended.code == 0
        assert ended.stderr.startswith("1 of 2 slots will have nothing to do")
        assert client.count("narrow").count == 1


def test_python_may_live_in_a_folder_with_a_space(kafka: Kafka, qdrant: Qdrant, tmp_path: Path) -> None:
    """Flink's own script for Python workers breaks on such a path, so they are started without it."""
    write(kafka, "spaced", [(None, json.dumps({"collection_name": "spaced", "id": 1}).encode())])
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "venv").symlink_to(sys.prefix)
    with closing(qdrant.client()) as client:
        client.create_collection("spaced", vectors_config={})
        bounded = (*job_arguments(kafka, qdrant, "spaced"), "--scan.bounded.mode", "latest-offset")
        ended = run_job(*bounded, folder=tmp_path, python=folder / "venv" / "bin" / "python")
        assert (ended.code, ended.stderr) == (0, "")
        assert client.count("spaced").count == 1
