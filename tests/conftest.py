"""Real servers for the tests that ask for them, one of each for the whole run. Unit tests ask for none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant


def pytest_configure() -> None:
    """Prepare for busy machines and for shells."""
    # A shell's background jobs, such as a CI's, inherit it as ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Each test has a time limit of its own; an example that took long on a busy machine says nothing of the code.
    hypothesis.settings.register_profile("no deadline", deadline=None)
    hypothesis.settings.load_profile("no deadline")


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
