"""The files of flink-conf/ that deploy the job, taken apart for tests."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from job.arguments import load_settings
from scripts.stack.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job.settings import Settings

FOLDER = ROOT / "flink-conf"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
CONFIG_MAP, KUBERNETES = yaml.safe_load_all((FOLDER / "kubernetes" / "flinkdeployment.yaml").read_text())
CONFLUENT: dict[str, Any] = yaml.safe_load((FOLDER / "confluent" / "flinkapplication.yaml").read_text())

# What Flink is given to run, without compose's optional savepoint.
ARGUMENTS: dict[str, list[str]] = {
    "compose": shlex.split(re.sub(r"\$\{.*?}}", "", SERVICES["jobmanager"]["command"]))[1:],
    "Kubernetes": KUBERNETES["spec"]["job"]["args"],
    "Confluent": CONFLUENT["spec"]["job"]["args"],
}
# The files of settings that some of these arguments name.
_FILES = {"compose": COMPOSE["configs"]["job"]["content"], "Kubernetes": CONFIG_MAP["data"]["job.yaml"]}
_OF_THE_JOB = "/opt/flink/job/"


def settings_of(where: str, folder: Path) -> Settings:
    """Return what the job makes of a deployment's arguments, with the files that they name put into the folder."""
    words = ARGUMENTS[where][4:]
    for name in re.findall(rf"{_OF_THE_JOB}(?:\w+/)?(\S+)", " ".join(words)):
        (folder / name).write_text(_FILES.get(where, "") if name.endswith(".yaml") else "")
    return load_settings([re.sub(rf"{_OF_THE_JOB}(\w+/)?", f"{folder}/", word) for word in words])


def flink_properties() -> dict[str, str]:
    """Return the Flink options that compose hands to the image, in the way of the image's own entry point."""
    lines = SERVICES["taskmanager"]["environment"]["FLINK_PROPERTIES"].splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def instructions(kind: str) -> Iterator[list[str]]:
    """Yield the words of each of the Dockerfile's instructions of that kind."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, *words = shlex.split(line)
        if name == kind:
            yield words


def copied() -> dict[str, str]:
    """Return what the Dockerfile copies from the repository, and to which folder or file."""
    lines = [words for words in instructions("COPY") if not words[0].startswith("--from")]
    return {source: words[-1] for words in lines for source in words[:-1]}


def in_image() -> set[str]:
    """Return the files of the job that the Dockerfile puts into the image."""
    named = {f"{target}{source.rpartition('/')[2]}" for source, target in copied().items()}
    links = {words[-1] for words in instructions("RUN") if "ln" in words}
    return {path for path in named | links if path.startswith(_OF_THE_JOB)}
