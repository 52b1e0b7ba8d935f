"""What more than one file of contract tests asks for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from apache_beam.runners.worker.statesampler import StateSampler
from pyflink.java_gateway import get_gateway
from trustme import CA

from scripts.stack.processes import LOCALHOST
from tests.support.secured import TlsQdrant

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def authority() -> CA:
    """One that signs certificates, and that nobody knows."""
    return CA()


@pytest.fixture(scope="session")
def tls_qdrant(authority: CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsQdrant]:
    """A server that speaks TLS only, and wants the API key `right`."""
    certificate = authority.issue_cert(LOCALHOST)
    with TlsQdrant(tmp_path_factory.mktemp("certificate"), certificate, api_key="right") as server:
        yield server


@pytest.fixture(scope="session")
def flinks_java() -> Any:
    """Flink's JVM in this process, whose own process PyFlink leaves to itself with a warning at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        return get_gateway().jvm


@pytest.fixture
def worker_process(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take this process for a Python worker, and put Beam's class back as it was; return what else may be put back."""
    monkeypatch.setenv("WORKER_ID", "1-1")
    for changed in ("run", "update_metric"):
        monkeypatch.setattr(StateSampler, changed, getattr(StateSampler, changed))
    return monkeypatch
