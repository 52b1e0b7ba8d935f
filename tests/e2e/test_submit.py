"""Every way to submit the job, by the README's own command lines, and to go on with other settings."""

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
from scripts.stack.processes import ROOT, StackError
from scripts.stack.workload import generate
from tests.e2e.jobs import Job
from tests.e2e.judging import in_parts, must_hold
from tests.e2e.letters import create_letters_topic
from tests.e2e.topic import PARTITIONS
from tests.support.minicluster import Program
from tests.support.pages import README, command, section
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from scripts.stack.workload import Workload
    from tests.e2e.trial import Trial

pytestmark = pytest.mark.timeout(90)

RUN_IT = "Run it"


@dataclass(frozen=True)
class Readme:
    """README's section on running the job, with the addresses and paths of this run in place of its examples.

    Attributes:
        exchange: What stands for which word.
    """

    exchange: dict[str, str]

    def command(self, start: str) -> list[str]:
        """Return the words of the command line that starts so."""
        on_one_line = command(README, RUN_IT, start).replace("\\\n", "")
        return [self.exchange.get(word, word) for word in shlex.split(on_one_line)]

    def settings(self) -> dict[str, str]:
        """Return the settings of the example in YAML."""
        example = re.search(r"^```yaml\n(.*?)^```", section(README, RUN_IT), re.MULTILINE | re.DOTALL)
        assert example
        return {name: self.exchange.get(value, value) for name, value in yaml.safe_load(example[1]).items()}


@pytest.fixture
def workload(trial: Trial) -> Workload:
    """Messages of all formats, which are in the topic already."""
    workload = generate(200, PARTITIONS)
    trial.topic.produce(workload.messages)
    return workload


@pytest.fixture
def readme(trial: Trial, tmp_path: Path) -> Readme:
    """The lines of README, for a folder in which nothing of the repository is found by accident."""
    script = tmp_path / "client" / "main.py"
    script.parent.mkdir()
    shutil.copy(ROOT / "job" / "main.py", script)
    (tmp_path / "key").write_text("a key that this Qdrant does not ask for")
    readme = Readme(
        {
            "./scripts/package": str(ROOT / "scripts" / "package"),
            "dist/job.zip": str(tmp_path / "job.zip"),
            "job/main.py": str(script),
            f"/path/to/{CONNECTOR.name}": str(CONNECTOR),
            "/path/to/job.yaml": str(tmp_path / "job.yaml"),
            "docs": trial.topic.name,
            "localhost:9092": trial.topic.bootstrap,
            "http://localhost:6334": trial.proxy.url,
            "file:/run/secrets/qdrant-key": f"file:{tmp_path / 'key'}",
        }
    )
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(readme.settings()))
    return readme


@pytest.fixture
def zipped(readme: Readme, tmp_path: Path) -> Path:
    """The zip of README's lines, built by the script that it names, from elsewhere."""
    target = tmp_path / "job.zip"
    command = [*readme.command("./scripts/package"), str(target)]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert built.stdout.split() == [str(target)]
    return target


@pytest.mark.usefixtures("zipped")
def test_detached(trial: Trial, readme: Readme, workload: Workload) -> None:
    """`flink run -d -pym` returns while the job runs, and the job writes what is in the topic."""
    job = Job(trial.cluster, trial.cluster.run_job(readme.command("flink run -d -pym")[2:], detached=False))
    trial.jobs.append(job)
    trial.wait_for_points(workload.points)
    assert not job.has_ended()


@pytest.mark.usefixtures("zipped")
def test_attached(trial: Trial, readme: Readme, workload: Workload) -> None:
    """`flink run -py` without `-d` returns when a job with an end has ended, and all is written."""
    until_the_end = "--scan.bounded.mode=latest-offset"
    job = trial.cluster.run_job([*readme.command("flink run -py")[2:], until_the_end], detached=False)
    assert trial.cluster.job_state(job) == "FINISHED"
    must_hold(trial.client, workload.points)


@pytest.mark.usefixtures("zipped")
def test_refused(trial: Trial, readme: Readme) -> None:
    """What is wrong is said in the job's own sentence, and `flink run` ends with an exit code that is not 0."""
    command = readme.command("flink run -d -pym")
    with pytest.raises(StackError) as refused:
        trial.cluster.run_job([*command[2:], "--topics=nowhere"], detached=False)
    said = str(refused.value)
    assert said.startswith("flink run ended with exit code 31.")
    assert "The job was not started:" in said
    assert f"Kafka at {trial.topic.bootstrap} has no topic 'nowhere'" in said
    assert "Python process exits with code: 2" in said


@pytest.mark.usefixtures("zipped")
def test_application_mode(trial: Trial, readme: Readme, workload: Workload) -> None:
    """A JobManager that is started with the job's settings runs the job, on the TaskManager beside it."""
    script, how, *application = readme.command("standalone-job.sh")
    assert (script, how) == ("standalone-job.sh", "start-foreground")
    assert readme.command("taskmanager.sh") == ["taskmanager.sh", "start-foreground"]
    with FlinkCluster(slots=1, application=application) as cluster:
        trial.wait_for_points(workload.points)
        assert [job["name"] for job in cluster.rest("/jobs/overview")["jobs"]] == ["kafka-to-qdrant"]


def test_local(trial: Trial, readme: Readme, workload: Workload, tmp_path: Path) -> None:
    """`python -m job.main` runs the job on Flink's minicluster, until Ctrl-C."""
    python, option, module, *arguments = readme.command(".venv/bin/python -m job.main --topics")
    assert (python, option) == (".venv/bin/python", "-m")
    folder = tmp_path / "local"
    folder.mkdir()
    with Program(module, *arguments, folder=folder) as program:
        trial.wait_for_points(workload.points)
        program.interrupt()
        assert program.ended(30).code == 130


@pytest.mark.timeout(120)
def test_other_settings(trial: Trial, kafka: Kafka) -> None:
    """A savepoint starts a job with other settings, there and back: nothing is lost, read before it or after."""
    workload = generate(2000, PARTITIONS)
    first, second, third = in_parts(workload.messages, 3)
    letters = create_letters_topic(kafka, f"{trial.topic.name}-dead")
    # Where a partition starts whose offset is not found in the savepoint: behind what is in the topic by then.
    latest = "--scan.startup.mode=latest-offset"
    # Or else Flink misses the operator that wrote dead letters, and whose state it has.
    back = "--flink.execution.state-recovery.ignore-unclaimed-state=true"

    job = trial.submit(1, "--sink.batch.max-size=50")
    trial.topic.produce(first)
    job.wait_for(lambda: sum(trial.topic.committed().values()) > 0, "some messages to be committed")
    savepoint = trial.cluster.stop_with_savepoint(job.id, trial.folder / "savepoints")
    trial.topic.produce(second)
    job = trial.submit(2, latest, *tolerant(letters), "--lanes=3", "--sink.batch.max-size=7", savepoint=savepoint)
    savepoint = trial.cluster.stop_with_savepoint(job.id, trial.folder / "savepoints")
    trial.topic.produce(third)
    trial.submit(3, latest, back, savepoint=savepoint)
    trial.wait_for_points(workload.points)
