"""What most end-to-end tests share: the job on the cluster, and Qdrant behind a proxy of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.stack.processes import wait_until
from scripts.stack.workload import compare
from tests.e2e.jobs import Job, Runner

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from scripts.stack.qdrant import Qdrant
    from scripts.stack.workload import Point, PointKey
    from tests.support.grpc_proxy import GrpcProxy


@dataclass(kw_only=True)
class Trial(Runner):
    """One test on the shared cluster.

    Attributes:
        client: Reads what is in Qdrant, past the proxy.
    """

    proxy: GrpcProxy
    qdrant: Qdrant
    client: QdrantClient

    def wait_for_calls(self, job: Job, count: int) -> None:
        """Return once so many more calls came to Qdrant, and one of them at least is still under way."""
        enough = self.proxy.calls.total() + count
        job.wait_for(lambda: self.proxy.calls.total() >= enough and self.proxy.waiting > 0, "calls to Qdrant")

    def wait_for_points(self, points: dict[PointKey, Point], seconds: float = 60) -> None:
        """Return once there are these points in Qdrant, and no others."""

        def are_there() -> bool:
            self.cluster.supervise()
            return not compare(self.client, points)

        wait_until(are_there, "all points", seconds, every=0.5)
