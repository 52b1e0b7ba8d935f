"""The zip that is submitted: both packages, and bytes that depend on nothing but their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from scripts.stack.package import build, main
from scripts.stack.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("job", "udfs")
STRAY = ("job/__pycache__/main.cpython-311.pyc", "udfs/.core.py.swp", "udfs/core/notes.txt", "tests/test_main.py")


@pytest.fixture
def other_umask() -> Iterator[None]:
    """Files that nobody but their owner may read, while the test runs."""
    usual = os.umask(0o077)
    yield
    os.umask(usual)


@pytest.mark.usefixtures("other_umask")
def test_the_zip_depends_on_the_sources_alone(tmp_path: Path) -> None:
    """A copy of the sources with other times and rights, amid stray files, gives the same bytes."""
    copy = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, copy_function=shutil.copyfile)
    for name in STRAY:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("stray")
    for file in copy.rglob("*"):
        os.utime(file, (1e9, 1e9))
    assert build(tmp_path / "a.zip").read_bytes() == build(tmp_path / "b.zip", copy).read_bytes()


def test_the_zip_alone_is_enough_to_import_the_job(tmp_path: Path) -> None:
    """Both packages stand at its root, where `-pyfs` lets Python look, with all modules and the Java source."""
    package = build(tmp_path / "new" / "job.zip")
    names = zipfile.ZipFile(package).namelist()
    assert sorted(names) == sorted(
        str(file.relative_to(ROOT))
        for name in PACKAGES
        for file in (ROOT / name).rglob("*")
        if file.suffix in (".py", ".java")
    )
    program = (
        "import importlib.resources, job.durations, udfs.core\n"
        "print(job.durations.__file__, udfs.core.__file__)\n"
        "print(importlib.resources.files('job').joinpath('PackRecords.java').is_file())"
    )
    command = [sys.executable, "-c", program]
    variables = {**os.environ, "PYTHONPATH": str(package)}
    found = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True).stdout
    assert found.split() == [f"{package}/job/durations.py", f"{package}/udfs/core/__init__.py", "True"]


def test_a_zip_that_cannot_be_written_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence names the file, and the exit code is 1."""
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "job.zip"
    assert main([str(target)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("The package was not built: ")
    assert str(tmp_path / "file") in said.err


def test_a_folder_with_other_files_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever names it by mistake is told, before anything is fetched."""
    (tmp_path / "wheels").mkdir()
    for name in ("requirements.txt", "wheels/a.whl", ".env"):
        (tmp_path / name).write_text(name)
    assert main(["--requirements", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"The package was not built: {tmp_path} has other files, such as .env: give these packages a folder of their"
        " own.\n"
    )
    for name in ("requirements.txt", "wheels/a.whl", ".env"):
        assert (tmp_path / name).read_text() == name
