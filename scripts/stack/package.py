"""Builds the zip that `flink run -pyfs` takes: `job/` and `udfs/` at its root, the same bytes every time."""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.stack.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGES = ("job", "udfs")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell: file times must not change the bytes


def build(target: Path, root: Path = ROOT) -> Path:
    """Write the zip of the packages in `root` and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Stored: one version of zlib compresses to other bytes than the next.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for source in sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py")):
            entry = zipfile.ZipInfo(source.relative_to(root).as_posix(), _FIRST_DAY)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, source.read_bytes())
    return target


def main(argv: Sequence[str]) -> int:
    """Build the zip and print its path; return 1, having said why, if it cannot be written."""
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__)
    parser.add_argument("zip", nargs="?", type=Path, default=ROOT / "dist" / "job.zip", help="(default: %(default)s)")
    try:
        print(build(parser.parse_args(argv).zip))
    except OSError as error:
        print(f"The zip was not written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
