"""Looks for what must be nowhere, however it is written down: in text, in bytes, and inside of what is compressed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_AROUND = 40
_DEEPEST = 3  # a zip in a zip in a zip
_BASE64_CHARACTERS_PER_BYTES = 4, 3
# What only begins like an archive, or was still being written when it was copied, is searched as it is.
_NOT_PACKED = (zipfile.BadZipFile, zlib.error, EOFError, OSError)


@dataclass(frozen=True)
class Needle:
    """Something that must be nowhere.

    Attributes:
        name: What it is called where it is found.
        forms: The bytes that it may stand there as.
    """

    name: str
    forms: tuple[bytes, ...]


@dataclass(frozen=True)
class Leak:
    """A needle that was found.

    Attributes:
        place: The file, and the member of it where it is an archive.
        name: The needle's name.
        offset: Where its first byte is.
        before: A little of what precedes it. What follows is not shown, nor is the needle itself.
    """

    place: str
    name: str
    offset: int
    before: str

    def __str__(self) -> str:
        return f"{self.name} in {self.place} at {self.offset}, behind {self.before!r}"


def text(name: str, value: str) -> Needle:
    """Return the needle for a text, as it is and escaped or encoded in the usual ways."""
    raw = value.encode()
    escaped = [json.dumps(value)[1:-1], quote(value, safe=""), quote_plus(value), raw.hex()]
    wide = [value.encode("utf-16-le"), value.encode("utf-16-be")]
    return Needle(name, tuple(dict.fromkeys([raw, *(form.encode() for form in escaped), *wide, *_in_base64(raw)])))


def data(name: str, *values: bytes) -> Needle:
    """Return the needle for bytes, of which each is one way to write the same."""
    return Needle(name, tuple(form for value in values for form in (value, *_in_base64(value))))


def leaks(folder: Path, needles: Iterable[Needle]) -> list[Leak]:
    """Return which needles are in the files below a folder, each once for each file."""
    looked_for = list(needles)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [leak for file in files for leak in leaks_in(str(file.relative_to(folder)), file.read_bytes(), looked_for)]


def leaks_in(place: str, content: bytes, needles: Iterable[Needle]) -> list[Leak]:
    """Return which needles are in the bytes, or in what is packed in them, each once for each place."""
    layers = list(_layers(place, content))
    return [leak for needle in needles for where, layer in layers for leak in _first(where, layer, needle)]


def _first(place: str, content: bytes, needle: Needle) -> list[Leak]:
    offset = min((at for form in needle.forms if (at := content.find(form)) >= 0), default=-1)
    before = content[max(0, offset - _AROUND) : max(0, offset)].decode(errors="replace")
    return [Leak(place, needle.name, offset, before)] if offset >= 0 else []


def _in_base64(value: bytes) -> list[bytes]:
    """Return what is the same in base64 wherever the value stands in what was encoded, for both alphabets."""
    characters, group = _BASE64_CHARACTERS_PER_BYTES
    forms = []
    for lead in range(group):
        encoded = base64.b64encode(bytes(lead) + value).rstrip(b"=")
        # The first character that has no bit of the lead; the last one may have some of what follows.
        whole = encoded[-(-lead * characters // group) : (lead + len(value)) * 8 // 6]
        forms += [whole, whole.translate(bytes.maketrans(b"+/", b"-_"))]
    return list(dict.fromkeys(forms))


def _layers(place: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield the content, and what is packed in it."""
    yield place, content
    if depth < _DEEPEST:
        with suppress(*_NOT_PACKED):
            for name, inner in _unpacked(content):
                yield from _layers(f"{place}!{name}", inner, depth + 1)


def _unpacked(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Classes are nobody's secrets, and there are thousands.
            names = [name for name in archive.namelist() if not name.endswith((".class", "/"))]
            yield from ((name, archive.read(name)) for name in names)
    elif content.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(content)
    elif content[:1] == b"\x78" and int.from_bytes(content[:2], "big") % 31 == 0:  # RFC 1950; so Flink packs tasks
        yield "zlib", zlib.decompressobj().decompress(content)
