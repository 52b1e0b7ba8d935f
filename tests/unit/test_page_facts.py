"""What commands say that cannot be run here: names in them are those of the files that they go with."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scripts.stack.processes import ROOT
from tests.support.deployments import CONFLUENT as APPLICATION
from tests.support.deployments import FOLDER, KUBERNETES, SERVICES, instructions, settings_of
from tests.support.pages import CONFLUENT, FLINK_CONF, command, commands

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE_FILE = (FOLDER / "docker-compose.yaml").read_text()


def all_after(words: list[str], option: str) -> list[str]:
    """Return what stands behind each occurrence of the option."""
    return [after for word, after in pairwise(words) if word == option]


def test_compose(tmp_path: Path) -> None:
    """Services, the topic, Kafka's address, the variable and the folder of savepoints are those of the file."""
    shown = "\n".join(line for line in commands(FLINK_CONF, "An application cluster") if "compose" in line)
    named = re.findall(r"exec (?:-T )?(\w+)|--follow (\w+)|--scale (\w+)=", shown)
    assert {name for names in named for name in names if name} == {"kafka", "jobmanager", "taskmanager"}
    assert SERVICES.keys() >= {"kafka", "jobmanager", "taskmanager"}
    words = shlex.split(shown)
    settings = settings_of("compose", tmp_path)
    assert all_after(words, "--bootstrap-server") == [settings.bootstrap_servers]
    assert all_after(words, "--topic") == list(settings.topics)
    assert "${SAVEPOINT:+--fromSavepoint ${SAVEPOINT}}" in COMPOSE_FILE
    [folder] = re.findall(r"savepoint-dir: file://(\S+)", COMPOSE_FILE)
    assert set(re.findall(r"/var/lib/[\w/]+/savepoints", shown)) == {folder}
    assert f"SAVEPOINT={folder}/SAVEPOINT $compose up" in shown


def test_build_for_confluent() -> None:
    """The Dockerfile has the arguments; one names a lock, the other Confluent's Flink of the manifest's version."""
    words = shlex.split(command(CONFLUENT, "Step by step", "docker build").replace("\\\n", ""))
    given = dict(pair.split("=") for pair in all_after(words, "--build-arg"))
    assert given.keys() <= {names[0].split("=")[0] for names in instructions("ARG")}
    assert (ROOT / given["REQUIREMENTS"]).exists()
    version = str(APPLICATION["spec"]["flinkVersion"]).removeprefix("v").replace("_", ".")
    assert given["FLINK_IMAGE"].startswith(f"confluentinc/cp-flink:{version}.")
    [tag] = all_after(words, "--tag")
    assert command(CONFLUENT, "Step by step", "docker push").split()[-1] == tag
    assert tag.rpartition("/")[2] == APPLICATION["spec"]["image"].rpartition("/")[2]


def test_names_on_kubernetes() -> None:
    """The deployment, its service of the REST port, and the secret with its files are those of the manifest."""
    shown = "\n".join(commands(FLINK_CONF, "Kubernetes"))
    name = KUBERNETES["metadata"]["name"]
    assert set(re.findall(r"(?:flinkdeployment|deployment/) ?([a-z-]+)", shown)) == {name}
    assert f"service/{name}-rest 8081" in shown
    check_secret(command(FLINK_CONF, "Kubernetes", "kubectl create secret"), KUBERNETES)
    check_secret(command(CONFLUENT, "Step by step", "kubectl create secret"), APPLICATION)


def check_secret(line: str, document: Any) -> None:
    """Assert that the line makes the secret that the document mounts, with all files that it reads from it."""
    volumes = document["spec"]["podTemplate"]["spec"]["volumes"]
    [mounted] = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert f"secret generic {mounted} " in line
    given = " ".join(document["spec"]["job"]["args"]) + (FOLDER / "kubernetes" / "flinkdeployment.yaml").read_text()
    read = set(re.findall(rf"/run/secrets/{mounted}[/:]([\w-]+)", given))
    assert set(re.findall(r"--from-file=(\S+)", line)) == read


def test_confluent_s_application() -> None:
    """One environment and one application in all lines, and the manager's address is the port that is forwarded."""
    shown = "\n".join(commands(CONFLUENT))
    [environment] = re.findall(r"environment create (\S+)", shown)
    assert set(re.findall(r"--environment (\S+)", shown)) == {environment}
    applications = re.findall(r"(?:describe|web-ui-forward|--application) (\S+)", shown)
    assert set(applications) == {APPLICATION["metadata"]["name"]}
    [port] = re.findall(r"service/cmf-service (\d+):80", shown)
    assert f"export CONFLUENT_CMF_URL=http://localhost:{port}\n" in shown
    assert set(re.findall(r"-namespace (\S+)|--namespace (\S+)", shown)) <= {("flink", ""), ("", "flink")}
