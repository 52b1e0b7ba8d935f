"""The search for what must be nowhere finds it wherever it is planted, and says where without showing it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from tests.support.leaks import data, leaks, leaks_in, text

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN = 's3cret "with" +/&% and ü'
NEEDLE = text("the secret", HIDDEN)


def zipped(content: bytes) -> bytes:
    """Return a zip with the content in one of its members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("harmless", b"harmless")
        archive.writestr("folder/member", content)
    return buffer.getvalue()


RAW = HIDDEN.encode()
PLANTED = {
    "as it is": RAW,
    "in JSON": json.dumps({"key": HIDDEN}).encode(),
    "in a URL": quote(f"?{HIDDEN}", safe="").encode(),
    "in a form": quote_plus(HIDDEN).encode(),
    "in hex": RAW.hex().encode(),
    "in UTF-16": f"a{HIDDEN}".encode("utf-16-le"),
    **{f"in base64, {lead} bytes in": base64.b64encode(bytes(lead) + RAW + b"more") for lead in range(6)},
    **{f"in base64 for URLs, {lead} bytes in": base64.urlsafe_b64encode(bytes(lead) + RAW) for lead in range(3)},
}
PACKED = {
    "gzip": gzip.compress(RAW),
    "zlib": zlib.compress(RAW),
    "a zip": zipped(RAW),
    "a zip in a zip": zipped(zipped(RAW)),
    "a zlib stream in gzip": gzip.compress(zlib.compress(RAW)),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(planted: bytes) -> None:
    """However it is written down, and amid whatever."""
    (leak,) = leaks_in("a log", b"\xff\0 before " + planted + b"\0 behind", [NEEDLE])
    assert (leak.place, leak.name) == ("a log", "the secret")


@pytest.mark.parametrize("planted", PACKED.values(), ids=PACKED)
def test_what_is_packed_is_found(planted: bytes) -> None:
    """It is found in what is compressed, and the place names the way to it."""
    (leak,) = leaks_in("a blob", planted, [NEEDLE])
    assert leak.place.startswith("a blob!")


def test_the_place_is_told_and_the_secret_is_not(tmp_path: Path) -> None:
    """A person sees the file, where in it, and a little of what is before; not the secret, nor the whole file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log").write_text(f"{'x' * 1000} password={HIDDEN} and so on")
    (tmp_path / "other").write_text("nothing")
    (leak,) = leaks(tmp_path, [NEEDLE])
    assert str(leak) == f"the secret in folder/log at 1010, behind '{'x' * 30} password='"


def test_bytes_are_found() -> None:
    """What is no text is looked for likewise, in each of its forms."""
    needle = data("a vector", b"\1\2\3\4\5\6\7\x08", b"\x08\7\6\5\4\3\2\1")
    for planted in (b"..\x08\7\6\5\4\3\2\1..", base64.b64encode(b"a\1\2\3\4\5\6\7\x08")):
        assert leaks_in("a state", planted, [needle])


@pytest.mark.parametrize("content", [b"", b"x\x9c no zlib", b"PK\3\4 no zip", b"\x1f\x8b no gzip", RAW[:-3], b"s3cret"])
def test_what_is_not_there_is_not_found(content: bytes) -> None:
    """A part of it is not it, and what only begins like an archive is searched as it is."""
    assert leaks_in("a file", content, [NEEDLE]) == []


def test_what_only_begins_like_an_archive_is_searched() -> None:
    """Such as one that was copied while it was written."""
    assert leaks_in("a file", b"PK\3\4" + RAW, [NEEDLE])
