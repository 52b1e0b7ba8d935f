"""The packages for workers: those of the lock that has the Flink of this Python."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import ROOT, StackError
from scripts.stack.worker_packages import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOCKS = [
    ("apache-flink", "2.3.0", "requirements.lock"),
    ("apache-flink", "2.2.1", "requirements-flink-2.2.lock"),
    ("cp-pyflink", "2.2.0.3", "requirements-confluent.lock"),
]


def installed(folder: Path, name: str, version: str) -> Iterable[importlib.metadata.Distribution]:
    """Return what importlib finds where one package is installed, beside another one."""
    for package, its_version in ((name, version), ("orjson", "2.3.0")):
        about = folder / f"{package.replace('-', '_')}-{its_version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {its_version}\n")
    return importlib.metadata.distributions(path=[str(folder)])


@pytest.mark.parametrize(("name", "version", "lock"), LOCKS)
def test_the_lock_is_that_of_the_flink_there(tmp_path: Path, name: str, version: str, lock: str) -> None:
    """Workers of Flink 2.2 do not get PyFlink 2.3; and the lock pins that very version."""
    assert lock_of(installed(tmp_path, name, version)) == ROOT / lock
    assert f"\n{name}=={version} " in (ROOT / lock).read_text()


def test_an_unknown_flink_is_refused(tmp_path: Path) -> None:
    """There is nothing to build from, and nothing is guessed."""
    with pytest.raises(StackError, match="no PyFlink that the project has a lock for"):
        lock_of(installed(tmp_path, "apache-flink", "1.20.0"))
