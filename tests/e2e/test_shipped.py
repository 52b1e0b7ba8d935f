"""Jobs that bring what their workers import, on clusters whose Python lacks it."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.processes import ROOT, StackError
from scripts.stack.workload import generate
from tests.e2e.judging import must_hold
from tests.e2e.topic import PARTITIONS
from tests.support.pages import README, command, replaced
from tests.support.pythons import python_without

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.trial import Trial

pytestmark = pytest.mark.timeout(400)


SECTION = "Bring what the workers import"


@dataclass(frozen=True)
class Way:
    """One way to ship packages, by README's own lines.

    Attributes:
        lacks: What the cluster's Python is without, by the beginnings of names.
        made: What the script makes.
        build: How the line begins that calls it.
        run: How the line begins that submits the job with it.
    """

    lacks: tuple[str, ...]
    made: str
    build: str
    run: str


WAYS = {
    "archive": Way(("",), "dist/environment.zip", "./scripts/package --environment", "flink run -pyarch"),
    "requirements": Way(
        ("qdrant_client", "orjson", "simdjson", "csimdjson"),
        "dist/requirements",
        "./scripts/package --requirements",
        "flink run -pyreq",
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_packages_come_with_the_job(trial: Trial, tmp_path: Path, way: Way) -> None:
    """Without them the job fails for want of a package, with them it writes what is in the topic."""
    workload = generate(200, PARTITIONS)
    trial.topic.produce(workload.messages)
    (tmp_path / "dist").mkdir()
    shutil.copy(trial.package, tmp_path / "dist" / "job.zip")
    script = str(ROOT / "scripts" / "package")
    build = replaced(command(README, SECTION, way.build), {"./scripts/package": shlex.quote(script)})
    once = [*trial.arguments(), "--scan.bounded.mode=latest-offset", "--flink.restart-strategy.type=none"]
    run = replaced(command(README, SECTION, way.run), {"…": shlex.join(once)})
    bare = python_without(tmp_path / "bare", *way.lacks)
    with FlinkCluster(slots=1, config={"python.executable": str(bare)}) as cluster:
        cluster.shell(f"{build} {way.made}", tmp_path, seconds=240)
        with pytest.raises(StackError, match=r"The workers' Python|No module named"):
            cluster.run_job(["-pym", "job.main", "-pyfs", trial.package, *once], detached=False)
        cluster.shell(run, tmp_path, seconds=240)
    must_hold(trial.client, workload.points)
