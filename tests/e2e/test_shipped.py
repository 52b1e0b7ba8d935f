"""Jobs that bring what their workers import, on clusters whose Python lacks it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.processes import ROOT, StackError
from scripts.stack.workload import generate
from tests.e2e.judging import must_hold
from tests.e2e.topic import PARTITIONS
from tests.support.pythons import python_without

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.trial import Trial

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Way:
    """One way to ship packages.

    Attributes:
        lacks: What the cluster's Python is without, by the beginnings of names.
        what: What scripts/package builds.
        options: What `flink run` is given, with `{}` in place of where that is.
    """

    lacks: tuple[str, ...]
    what: str
    options: tuple[str, ...]


WAYS = {
    "environment.zip": Way(("",), "--environment", ("-pyarch", "{}", "-pyexec", "environment.zip/bin/python")),
    "requirements": Way(
        ("qdrant_client", "orjson", "simdjson", "csimdjson"),
        "--requirements",
        ("-pyreq", "{}/requirements.txt#{}/wheels"),
    ),
}


@pytest.mark.parametrize(("name", "way"), WAYS.items(), ids=WAYS.keys())
def test_packages_come_with_the_job(trial: Trial, tmp_path: Path, name: str, way: Way) -> None:
    """Without them the job fails for want of a package, with them it writes what is in the topic."""
    workload = generate(200, PARTITIONS)
    trial.topic.produce(workload.messages)
    subprocess.run([ROOT / "scripts" / "package", way.what, tmp_path / name], check=True, capture_output=True)
    given = [option.replace("{}", str(tmp_path / name)) for option in way.options]
    bare = python_without(tmp_path / "bare", *way.lacks)
    once = ("--scan.bounded.mode=latest-offset", "--flink.restart-strategy.type=none")
    job: list[str | Path] = ["-pym", "job.main", "-pyfs", trial.package, *trial.arguments(), *once]
    with FlinkCluster(slots=1, config={"python.executable": str(bare)}) as cluster:
        with pytest.raises(StackError, match=r"The workers' Python|No module named"):
            cluster.run_job(job, detached=False)
        cluster.run_job([*given, *job], detached=False, seconds=240)
    must_hold(trial.client, workload.points)
