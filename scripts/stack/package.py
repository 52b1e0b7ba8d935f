"""Builds what `flink run` is given: the zip for -pyfs, of `job/` and `udfs/`, has the same bytes every time."""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.stack.processes import ROOT, StackError
from scripts.stack.worker_packages import build_environment, build_requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PACKAGES = ("job", "udfs")
_ENDINGS = (".py", ".java")
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell: file times must not change the bytes


def build(target: Path, root: Path = ROOT) -> Path:
    """Write the zip of the packages in `root` and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Stored: one version of zlib compresses to other bytes than the next.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for source in sorted(_sources(root)):
            entry = zipfile.ZipInfo(source.relative_to(root).as_posix(), _FIRST_DAY)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, source.read_bytes())
    return target


def _sources(root: Path) -> Iterator[Path]:
    for package in _PACKAGES:
        for ending in _ENDINGS:
            yield from (root / package).rglob(f"*{ending}")


_OPTIONS = {
    "--environment": (
        (build_environment, "environment.zip"),
        "what workers import, for -pyarch and -pyexec: dist/environment.zip",
    ),
    "--requirements": (
        (build_requirements, "requirements"),
        "the same but for PyFlink, for -pyreq: the folder dist/requirements",
    ),
}


def main(argv: Sequence[str]) -> int:
    """Build what is asked for and print its path; return 1, having said why, if it cannot be built."""
    parser = argparse.ArgumentParser(prog="scripts/package", description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="where it is put (default: below dist)")
    what = parser.add_mutually_exclusive_group()
    for option, (chosen, about) in _OPTIONS.items():
        what.add_argument(option, dest="build", action="store_const", const=chosen, help=about)
    parser.set_defaults(build=(build, "job.zip"))
    options = parser.parse_args(argv)
    make, name = options.build
    try:
        print(make(options.path or ROOT / "dist" / name))
    except (OSError, StackError) as error:
        print(f"The package was not built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
