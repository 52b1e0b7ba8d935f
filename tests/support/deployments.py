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

_CONFIG = (FOLDER / "config.yaml").read_text()
# What config.yaml says to a cluster of one's own, and what it has in comments, read as if these were none.
SUGGESTED: dict[str, object] = yaml.safe_load(_CONFIG)
COMMENTED: dict[str, str] = dict(re.findall(r"^#   ([\w.-]+): (.+?)(?: # .*)?$", _CONFIG, re.MULTILINE))

# What Flink is given to run, without compose's optional savepoint.
ARGUMENTS: dict[str, list[str]] = {
    "compose": shlex.split(re.sub(r"\$\{.*?}}", "", SERVICES["jobmanager"]["command"]))[1:],
    "Kubernetes": KUBERNETES["spec"]["job"]["args"],
    "Confluent": CONFLUENT["spec"]["job"]["args"],
}
# The files of settings that some of these arguments name.
FILES = {"compose": COMPOSE["configs"]["job"]["content"], "Kubernetes": CONFIG_MAP["data"]["job.yaml"]}
_OF_THE_JOB = "/opt/flink/job/"


def settings_of(where: str, folder: Path) -> Settings:
    """Return what the job makes of a deployment's arguments, with the files that they name put into the folder."""
    words = ARGUMENTS[where][4:]
    for name in re.findall(rf"{_OF_THE_JOB}(?:\w+/)?(\S+)", " ".join(words)):
        (folder / name).write_text(FILES.get(where, "") if name.endswith(".yaml") else "")
    return load_settings([re.sub(rf"{_OF_THE_JOB}(\w+/)?", f"{folder}/", word) for word in words])


def flink_properties() -> dict[str, str]:
    """Return the Flink options that compose hands to the image, in the way of the image's own entry point."""
    lines = SERVICES["taskmanager"]["environment"]["FLINK_PROPERTIES"].splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def flink_options(where: str) -> dict[str, str]:
    """Return the Flink options that a deployment gives, and those that the operator makes of its `spec`."""
    if where == "compose":
        return flink_properties()
    spec = {"Kubernetes": KUBERNETES, "Confluent": CONFLUENT}[where]["spec"]
    sizes = {
        f"{process.lower()}.memory.process.size": str(spec[process]["resource"]["memory"])
        for process in ("jobManager", "taskManager")
    }
    job = {"parallelism.default": str(spec["job"]["parallelism"]), "pipeline.jars": str(spec["job"]["jarURI"])}
    return {**spec["flinkConfiguration"], **sizes, **job}


def steps() -> Iterator[tuple[str, str]]:
    """Yield the Dockerfile's instructions in their order, each as its name and what stands behind it."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, rest


def instructions(kind: str) -> Iterator[list[str]]:
    """Yield the words of each of the Dockerfile's instructions of that kind."""
    return (shlex.split(rest) for name, rest in steps() if name == kind)


def copied() -> dict[str, str]:
    """Return what the Dockerfile copies from the repository, and to which folder or file."""
    lines = [words for words in instructions("COPY") if not words[0].startswith("--from")]
    return {source: words[-1] for words in lines for source in words[:-1]}


def in_image() -> set[str]:
    """Return the files of the job that the Dockerfile puts into the image."""
    named = {f"{target}{source.rpartition('/')[2]}" for source, target in copied().items()}
    links = {words[-1] for words in instructions("RUN") if "ln" in words}
    return {path for path in named | links if path.startswith(_OF_THE_JOB)}
