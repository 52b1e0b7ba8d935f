"""A server that more than one file of contract tests asks for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.secured import TlsQdrant

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def tls_qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsQdrant]:
    """A server that speaks TLS only."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    with TlsQdrant(tmp_path_factory.mktemp("certificate")) as server:
        yield server
