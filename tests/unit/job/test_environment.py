"""What the client makes of the options in effect."""

from __future__ import annotations

import pytest

from job.environment import may_be_after_a_crash

APPLICATION = {"execution.target": "embedded"}


@pytest.mark.parametrize(
    ("configured", "is_so"),
    [
        pytest.param(APPLICATION | {"high-availability.type": "kubernetes"}, True, id="application, available"),
        pytest.param(APPLICATION | {"high-availability": "ZOOKEEPER"}, True, id="by the older name"),
        pytest.param(APPLICATION | {"high-availability.type": "NONE"}, False, id="application, not available"),
        pytest.param(APPLICATION, False, id="application, nothing said"),
        pytest.param(
            {"execution.target": "remote", "high-availability.type": "zookeeper"}, False, id="session, available"
        ),
        pytest.param({}, False, id="nothing said"),
    ],
)
def test_a_client_may_be_there_after_a_crash(configured: dict[str, str], is_so: bool) -> None:  # noqa: FBT001 - a table
    """Only where it runs in a JobManager that another one replaces: everywhere else it is a person's."""
    assert may_be_after_a_crash(configured) is is_so
