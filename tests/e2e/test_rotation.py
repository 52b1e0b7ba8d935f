"""Kafka's password is changed under a running job, which goes on without a person."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from trustme import CA

from scripts.stack.processes import LOCALHOST
from tests.e2e.drill import open_drill
from tests.support.secured import SCRAM, SHADED, SecuredKafka, login, login_from, trusting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.stack.flink import FlinkCluster
    from tests.e2e.drill import Drill

A_WHILE = 3
REFUSED = "SaslAuthenticationException: Authentication failed during authentication due to invalid credentials"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[SecuredKafka]:
    """A broker with certificates of an authority that is in the file `ca.pem`."""
    authority = CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with SecuredKafka(authority.issue_cert(LOCALHOST), authority) as broker:
        yield broker


@pytest.fixture
def rotation(cluster: FlinkCluster, secured: SecuredKafka, package: Path, tmp_path: Path) -> Iterator[Drill]:
    """A job under a steady load that finds its password in a file."""
    cluster.supervise()
    with open_drill(cluster, secured, package, tmp_path) as drill:
        drill.properties = {
            "bootstrap.servers": secured.at["SASL_SSL"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            **trusting(tmp_path / "ca.pem"),
            **login_from(tmp_path),
        }
        yield drill


def put_password(drill: Drill, password: str) -> None:
    """Write it where the job looks."""
    (drill.folder / "jaas").write_text(login(SHADED + SCRAM, password))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("is_late", [False, True], ids=["file-first", "file-later"])
def test_the_job_goes_on(
    rotation: Drill,
    secured: SecuredKafka,
    is_late: bool,  # noqa: FBT001 - a table of two
    say: Callable[[str], None],
) -> None:
    """The broker takes another password: from the next connection on, Flink restarts tasks.

    It does so until Kafka takes what is in the file. Points and dead letters are exactly those expected.
    With the file put first, a restart for another reason, as the broker is away, may come before any refusal.
    """

    def rotate(drill: Drill) -> None:
        secured.change_password("another")
        if not is_late:
            put_password(drill, "another")
        secured.restart()  # or it would be long until a client opens another connection
        if not is_late:
            drill.job.wait_for_restart(0)
            return
        drill.job.wait_for(lambda: REFUSED in drill.cluster.failures(drill.job.id), "the old password to be refused")
        time.sleep(A_WHILE)
        put_password(drill, "another")

    put_password(rotation, "right")
    rotation.start()
    with rotation.load():
        rotation.warm_up()
        seconds = rotation.strike(rotate)
    outcome = rotation.outcome(seconds)
    say(f"{'password of Kafka changed':40} {outcome}, {rotation.job.restarts()} restarts")
    assert outcome.is_exact
