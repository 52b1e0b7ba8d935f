"""An application cluster with high availability, which goes on with its job when another JobManager takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.processes import wait_until
from scripts.stack.workload import generate
from tests.e2e.judging import points_of
from tests.e2e.topic import PARTITIONS
from tests.support.zookeeper import ZooKeeper

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.trial import Trial

pytestmark = pytest.mark.timeout(400)

SECONDS = 120
WAITS = "The job does not go on yet"


def available(zookeeper: ZooKeeper, folder: Path) -> dict[str, object]:
    """Return the options of Flink that let another JobManager go on with the job, seconds after the death of one."""
    return {
        "high-availability.type": "zookeeper",
        "high-availability.zookeeper.quorum": zookeeper.address,
        "high-availability.zookeeper.client.session-timeout": "5 s",
        "high-availability.storageDir": (folder / "ha").as_uri(),
    }


def test_a_job_manager_that_takes_over_during_an_outage_waits_for_its_end(trial: Trial, tmp_path: Path) -> None:
    """Its client, which Flink runs again, finds no Qdrant; the job goes on at its checkpoint once there is one."""
    messages = generate(600, PARTITIONS).messages
    trial.topic.produce(messages[:300])
    application = ["-pym", "job.main", "-pyfs", str(trial.package), *trial.arguments()]
    with (
        ZooKeeper() as zookeeper,
        FlinkCluster(slots=1, config=available(zookeeper, tmp_path), application=application) as cluster,
    ):
        trial.wait_for_points(points_of(messages[:300]), SECONDS)
        [job] = [job["id"] for job in cluster.rest("/jobs")["jobs"]]
        wait_until(lambda: cluster.checkpoints(job)["latest"]["completed"], "a checkpoint", SECONDS)
        trial.qdrant.stop()
        cluster.kill_job_manager()
        trial.topic.produce(messages[300:])
        cluster.restart_job_manager()
        wait_until(lambda: WAITS in (cluster.log_dir / "jobmanager.out").read_text(), "the client to wait", SECONDS)
        trial.qdrant.restart()
        trial.wait_for_points(points_of(messages), SECONDS)
        assert cluster.checkpoints(job)["latest"]["restored"]
