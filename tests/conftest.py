"""Real servers for the tests that ask for them, one of each for the whole run. Unit tests ask for none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant


def pytest_configure() -> None:
    """Let Ctrl-C reach what the tests start: a shell's background jobs, such as a CI's, inherit it as ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One broker for all tests, which keep apart by their topics. Whoever stops or restarts it makes its own."""
    from scripts.stack.kafka import Kafka  # noqa: PLC0415 - spares the unit tests the import

    with Kafka() as server:
        yield server


@pytest.fixture(scope="session")
def qdrant() -> Iterator[Qdrant]:
    """One Qdrant for all tests, which keep apart by their collections. Whoever stops or restarts it makes its own."""
    from scripts.stack.qdrant import Qdrant  # noqa: PLC0415 - spares the unit tests the import

    with Qdrant() as server:
        yield server
