"""What workers import, to be shipped with a job to clusters whose Python lacks it."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from scripts.stack.processes import ROOT, StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LAST_WORDS = 2000
# By the Flink that is installed: the package that it is in, and how its version begins.
_LOCKS = {
    ("cp-pyflink", "2.2"): "requirements-confluent.lock",
    ("apache-flink", "2.2"): "requirements-flink-2.2.lock",
    ("apache-flink", "2.3"): "requirements.lock",
}
# What this job's own code imports; PyFlink itself is there where `-pyreq` works.
_OWN = ("qdrant-client", "orjson", "pysimdjson")
# Flink's own jars, of which workers need none: 250 MB.
_FOR_CLIENTS = ("apache-flink-libraries", "cp-pyflink-libraries")
_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_START = f"""\
#!/bin/sh
# The {_PYTHON} of this machine, with the packages beside this folder.
here="$(cd "$(dirname "$0")/.." && pwd)"
PYTHONPATH="$here/packages${{PYTHONPATH:+:$PYTHONPATH}}" exec {_PYTHON} "$@"
"""


def build_environment(target: Path) -> Path:
    """Write a zip for `-pyarch` that has all packages and `bin/python`, which finds them; return its path.

    It is for this machine's kind of system, and for machines that have the same version of Python.
    """
    with TemporaryDirectory() as name:
        folder, lock = Path(name) / "environment", Path(name) / "requirements.lock"
        start = folder / "bin" / "python"
        start.parent.mkdir(parents=True)
        start.write_text(_START)
        start.chmod(0o755)
        lock.write_text("".join(text for package, text in _locked() if package not in _FOR_CLIENTS))
        _pip("install", "--target", folder / "packages", "--no-deps", "--require-hashes", "--requirement", lock)
        made = shutil.make_archive(str(Path(name) / "made"), "zip", folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, target)
    return target


def build_requirements(target: Path) -> Path:
    """Fill a folder for `-pyreq` with `requirements.txt` and, in `wheels`, all that it takes; return the former.

    What an earlier call put there is replaced once the new is complete.

    Raises:
        StackError: Something else is there, and may be anything; or pip failed.
    """
    requirements, wheels = target / "requirements.txt", target / "wheels"
    target.mkdir(parents=True, exist_ok=True)
    if others := sorted({*target.iterdir()} - {requirements, wheels}):
        raise StackError(
            f"{target} has other files, such as {others[0].name}: give these packages a folder of their own."
        )
    pins = [(package, text.partition(" \\\n")[0] + "\n") for package, text in _locked()]
    with TemporaryDirectory() as name:
        made, constraints, fetched = (Path(name) / part for part in ("requirements.txt", "constraints.txt", "wheels"))
        made.write_text("".join(pin for package, pin in pins if package in _OWN))
        constraints.write_text("".join(pin for _, pin in pins))
        _pip("download", "--dest", fetched, "--constraint", constraints, "--requirement", made)
        shutil.rmtree(wheels, ignore_errors=True)
        shutil.move(fetched, wheels)
        shutil.copyfile(made, requirements)
    return requirements


def _locked() -> Iterator[tuple[str, str]]:
    """Yield the name of each package in the lock, and its entry: version, marker, hashes."""
    lock = lock_of(importlib.metadata.distributions()).read_text()
    for text in re.findall(r"^[a-z0-9].*(?:\n +--hash=.*)+\n", lock, re.MULTILINE):
        yield text.partition("==")[0], text


def lock_of(installed: Iterable[importlib.metadata.Distribution]) -> Path:
    """Return the lock file with the Flink that is among these; raise StackError if there is none."""
    there = {(part.metadata["Name"], ".".join(part.version.split(".")[:2])) for part in installed}
    for flink, name in _LOCKS.items():
        if flink in there:
            return ROOT / name
    raise StackError("This Python has no PyFlink that the project has a lock for: run scripts/package.")


def _pip(*arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    if done.returncode:
        raise StackError(f"pip could not {arguments[0]} the packages:\n{done.stdout[-_LAST_WORDS:]}")
