"""The lines of flink-conf/README.md for clusters of one's own, typed as they stand there, one after the other."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import CONNECTOR
from scripts.stack.processes import ROOT, StackError, is_listening, wait_until
from scripts.stack.workload import generate
from tests.e2e.conftest import SLOTS
from tests.e2e.jobs import Job
from tests.e2e.judging import in_parts, points_of
from tests.e2e.topic import PARTITIONS
from tests.support.pages import FLINK_CONF, README, commands, replaced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.trial import Trial

pytestmark = pytest.mark.timeout(600)

JOB, SUBMIT, LIST, STOP, UPGRADE, RESCALE = commands(FLINK_CONF, "A session cluster")
START, WORK, LIST_APPLICATION, STOP_APPLICATION, RESTART, *_ = commands(FLINK_CONF, "An application cluster")
SUBMITTED = r"Job has been submitted with JobID (\w+)"
DECLINED = "Not all required tasks are currently running"
LISTED = r" : (\w+) : kafka-to-qdrant \(RUNNING\)"
SECONDS = 120


@dataclass(frozen=True)
class Person:
    """Types the page's lines in a folder of their own.

    Attributes:
        folder: Has `dist/job.zip`, as the repository has.
        table: What is typed in place of the page's examples.
    """

    folder: Path
    table: dict[str, str]

    def types(self, cluster: FlinkCluster, line: str) -> str:
        """Return what the line prints, in which `$job` is what the page says that it is."""
        return cluster.shell(replaced(f"{JOB}\n{line}", self.table), self.folder)

    def words(self, line: str) -> list[str]:
        """Return what bash makes of the line, with absolute paths for the programs that run elsewhere."""
        table = {**self.table, "dist/job.zip": str(self.folder / "dist" / "job.zip")}
        bash = ["bash", "-ec", replaced(f"{JOB}\nprintf '%s\\n' {line}", table)]
        return subprocess.run(bash, capture_output=True, text=True, check=True).stdout.splitlines()

    def stops(self, cluster: FlinkCluster, line: str, job: str) -> None:
        """Stop the job with a savepoint, and know from then on where it is."""
        self.table["JOB_ID"] = job
        said = self.types(cluster, line)
        self.table["SAVEPOINT"] = match(r"Savepoint completed\. Path: file:\S+/(savepoint-\S+)", said)
        assert (self.folder / "savepoints" / self.table["SAVEPOINT"] / "_metadata").exists()

    def started_from(self, cluster: FlinkCluster, job: str) -> bool:
        """Say whether the job started from the last savepoint, or without one if there is none yet."""
        restored = cluster.checkpoints(job)["latest"]["restored"] or {"external_path": ""}
        return str(restored["external_path"]).rpartition("/")[2] == self.table.get("SAVEPOINT", "")


@pytest.fixture
def person(trial: Trial, tmp_path: Path) -> Person:
    """Somebody whose settings are in a file, without the jar of the connector, which the page's lines name."""
    settings = dict(argument.removeprefix("--").split("=", 1) for argument in trial.arguments())
    del settings["kafka.connector.jar"]
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "dist").mkdir()
    shutil.copy(trial.package, tmp_path / "dist" / "job.zip")
    jar = tmp_path / CONNECTOR.name  # bash divides what `$job` is at spaces, which this repository's path may have
    jar.symlink_to(CONNECTOR)
    table = {
        "/path/to/job.yaml": shlex.quote(str(tmp_path / "job.yaml")),
        f"/path/to/{CONNECTOR.name}": shlex.quote(str(jar)),
        "/var/lib/flink/savepoints": shlex.quote(str(tmp_path / "savepoints")),
        "-p 4": f"-p {SLOTS}",
    }
    return Person(tmp_path, table)


def match(pattern: str, text: str) -> str:
    """Return the one group of what is found once."""
    [found] = re.findall(pattern, text)
    return str(found)


def wait_for_end(cluster: FlinkCluster) -> None:
    """Return once the JobManager has ended by itself."""
    port = int(cluster.rest_url.rpartition(":")[2])
    wait_until(lambda: not is_listening(port), "the JobManager to end", SECONDS)


def test_session_cluster(trial: Trial, person: Person) -> None:
    """Over three runs, the second with a new zip and the third with more subtasks, every message is written."""
    messages = generate(900, PARTITIONS).messages
    for number, (line, parallelism) in enumerate([(SUBMIT, 1), (UPGRADE, 1), (RESCALE, SLOTS)], 1):
        if trial.jobs:
            person.stops(trial.cluster, STOP, trial.jobs[-1].id)
        trial.topic.produce(in_parts(messages, 3)[number - 1])
        job = Job(trial.cluster, match(SUBMITTED, person.types(trial.cluster, line)))
        trial.jobs.append(job)
        trial.wait_for_points(points_of(messages[: 300 * number]), SECONDS)
        job.wait_for(job.is_running, "every task to run", SECONDS)
        assert person.started_from(trial.cluster, job.id)
        assert {task["parallelism"] for task in trial.cluster.rest(f"/jobs/{job.id}")["vertices"]} == {parallelism}
    assert match(LISTED, person.types(trial.cluster, LIST)) == trial.jobs[-1].id


def test_application_cluster(trial: Trial, person: Person) -> None:
    """The JobManager ends with its job when that is stopped, and another one goes on from the savepoint."""
    messages = generate(600, PARTITIONS).messages
    assert WORK == "taskmanager.sh start-foreground"  # as FlinkCluster starts it
    for number, line in enumerate([START, RESTART], 1):
        trial.topic.produce(in_parts(messages, 2)[number - 1])
        script, how, *arguments = person.words(line)
        assert (script, how) == ("standalone-job.sh", "start-foreground")
        with FlinkCluster(slots=1, application=arguments) as cluster:
            trial.wait_for_points(points_of(messages[: 300 * number]), SECONDS)
            job = match(LISTED, person.types(cluster, LIST_APPLICATION))
            assert person.started_from(cluster, job)
            person.stops(cluster, STOP_APPLICATION, job)
            wait_for_end(cluster)


def test_a_stop_before_every_task_runs(person: Person) -> None:
    """It is declined in the words that README has, and works when it is asked for again."""
    with FlinkCluster(task_managers=0, slots=1) as cluster:
        job = match(SUBMITTED, person.types(cluster, SUBMIT))
        with pytest.raises(StackError, match=DECLINED):
            person.stops(cluster, STOP, job)
        cluster.add_task_manager()
        wait_until(lambda: cluster.runs(job), "every task to run", SECONDS)
        person.stops(cluster, STOP, job)
    assert DECLINED in (ROOT / README).read_text()
