"""Pythons that lack something."""

from __future__ import annotations

import venv
from pathlib import Path

import pyflink

PACKAGES = Path(pyflink.__file__).parents[1]


def python_without(folder: Path, *beginnings: str) -> Path:
    """Make a virtual environment with the packages of this one, but for those whose names begin so."""
    venv.create(folder, symlinks=True)
    (theirs,) = folder.glob("lib/python*/site-packages")
    for entry in PACKAGES.iterdir():
        if not entry.name.startswith(beginnings):
            (theirs / entry.name).symlink_to(entry)
    return folder / "bin" / "python"
