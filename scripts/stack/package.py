"""Builds the zip that `flink run -pyfs` takes: `job/` and `udfs/` at its root, the same bytes every time."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from scripts.stack.processes import ROOT

_PACKAGES = ("job", "udfs")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell: file times must not change the bytes


def build(target: Path) -> Path:
    """Write the zip and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(path for package in _PACKAGES for path in (ROOT / package).rglob("*.py")):
            entry = zipfile.ZipInfo(source.relative_to(ROOT).as_posix(), _FIRST_DAY)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, source.read_bytes())
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist" / "job.zip"))
