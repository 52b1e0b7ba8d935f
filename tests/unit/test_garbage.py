"""The collector of cycles leaves alone what is there when a worker opens, and looks seldom at what comes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from udfs.garbage import YOUNG, collect_seldom

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put this process's collector back as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_a_worker_collects_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is there is frozen; what comes later is still looked at, if seldom."""
    monkeypatch.setenv("WORKER_ID", "1-1")
    collect_seldom()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == YOUNG
    assert gc.isenabled()


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports this job's modules keeps his collector."""
    monkeypatch.delenv("WORKER_ID", raising=False)
    before = gc.get_threshold()
    collect_seldom()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
