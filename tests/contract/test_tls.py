"""TLS to a real Qdrant: whom the preflight and the workers trust, and what is said where they do not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from trustme import CA

from job.arguments import load_settings
from job.qdrant_check import check_qdrant
from scripts.stack.processes import LOCALHOST
from tests.support.secured import TlsQdrant
from udfs.core.failures import StoreError
from udfs.qdrant.client import PointsClient

if TYPE_CHECKING:
    from pathlib import Path

    from job.settings import Settings

NOW = datetime.now(timezone.utc)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the key of the server."""
    (tmp_path / "key").write_text("right")
    return tmp_path / "key"


@pytest.fixture
def ca_file(authority: CA, tmp_path: Path) -> Path:
    """A file with the certificate of the authority."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def settings(server: TlsQdrant, key_file: Path, *more: str) -> Settings:
    """Return settings for the server."""
    least = ["--topics=docs", "--properties.bootstrap.servers=nowhere:1", f"--qdrant.grpc.url={server.https_url}"]
    return load_settings([*least, f"--qdrant.api.key=file:{key_file}", *more])


def is_welcome(given: Settings) -> bool:
    """Tell whether a worker gets through."""

    async def ask() -> bool:
        return await PointsClient(given.connection).is_welcome()

    return asyncio.run(ask())


def test_an_authority_is_trusted_by_its_file(tls_qdrant: TlsQdrant, key_file: Path, ca_file: Path) -> None:
    """With its certificate, preflight and workers get through, and the key is checked as ever."""
    given = settings(tls_qdrant, key_file, f"--qdrant.tls.ca.file={ca_file}")
    assert check_qdrant(given) == []
    assert is_welcome(given)
    key_file.write_text("wrong")
    (fault,) = check_qdrant(given)
    assert fault.startswith(f"Qdrant at {tls_qdrant.https_url} does not accept the API key that is at file:{key_file}")
    assert not is_welcome(given)


def test_without_the_file_nobody_is_trusted(tls_qdrant: TlsQdrant, key_file: Path) -> None:
    """The reason is said, and the setting that mends it."""
    given = settings(tls_qdrant, key_file)
    (fault,) = check_qdrant(given)
    assert fault == (
        f"The certificate of {tls_qdrant.https_url} is not trusted here: unable to get local issuer certificate. Let"
        " qdrant.tls.ca.file name a file with that of its authority, here and on the workers."
    )
    assert not is_welcome(given)


def test_the_systems_authorities_are_not_grpcs(
    tls_qdrant: TlsQdrant, key_file: Path, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom only the system trusts must be named, too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    (fault,) = check_qdrant(settings(tls_qdrant, key_file))
    assert "is not trusted here. Let qdrant.tls.ca.file name a file with that of its authority, here and on" in fault


@dataclass(frozen=True)
class Bad:
    """A certificate of a trusted authority that is not good for the server."""

    names: tuple[str, ...]
    said: str
    starts: timedelta = timedelta(days=-2)
    ends: timedelta = timedelta(days=2)


BAD = {
    "expired": Bad((LOCALHOST,), "certificate has expired. Renew it.", ends=timedelta(days=-1)),
    "not valid yet": Bad(
        (LOCALHOST,), "certificate is not yet valid. Wait, or set the clocks right.", starts=timedelta(days=1)
    ),
    "of another address": Bad(
        ("127.0.0.2",),
        f"IP address mismatch, certificate is not valid for '{LOCALHOST}'. Name the host in qdrant.grpc.url as the"
        " certificate does.",
    ),
    "of another name": Bad(
        ("qdrant.example",),
        f"IP address mismatch, certificate is not valid for '{LOCALHOST}'. Name the host in qdrant.grpc.url as the"
        " certificate does.",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_certificate_is_refused(authority: CA, tmp_path: Path, key_file: Path, ca_file: Path, bad: Bad) -> None:
    """Preflight says what is wrong with it, and workers do not get through."""
    certificate = authority.issue_cert(*bad.names, not_before=NOW + bad.starts, not_after=NOW + bad.ends)
    with TlsQdrant(tmp_path, certificate, api_key="right") as server:
        given = settings(server, key_file, f"--qdrant.tls.ca.file={ca_file}")
        assert check_qdrant(given) == [f"The certificate of {server.https_url} is not trusted here: {bad.said}"]
        assert not is_welcome(given)


def test_another_authority_is_not_trusted(tls_qdrant: TlsQdrant, tmp_path: Path, key_file: Path) -> None:
    """Whoever else signs certificates does not count."""
    CA().cert_pem.write_to_path(tmp_path / "other.pem")
    given = settings(tls_qdrant, key_file, f"--qdrant.tls.ca.file={tmp_path / 'other.pem'}")
    (fault,) = check_qdrant(given)
    assert "is not trusted here: " in fault
    assert not is_welcome(given)


NO_FILE = {
    "missing": (None, "which is not readable: No such file or directory"),
    "empty": (b"", "where there is no certificate in PEM"),
    "not PEM": (b"\x30\x82", "where there is no certificate in PEM"),
    "not whole": (b"-----BEGIN CERTIFICATE-----\nMIIB", "where there is no certificate in PEM"),
}


@pytest.mark.parametrize(("text", "said"), NO_FILE.values(), ids=NO_FILE.keys())
def test_a_file_without_certificates_is_said(
    tls_qdrant: TlsQdrant, tmp_path: Path, key_file: Path, text: bytes | None, said: str
) -> None:
    """The same sentence before the start and on the worker."""
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_bytes(text)
    given = settings(tls_qdrant, key_file, f"--qdrant.tls.ca.file={file}")
    (fault,) = check_qdrant(given)
    assert fault.startswith(f"qdrant.tls.ca.file names {file}, {said}. This check needs it where the job is started")
    with pytest.raises(StoreError, match=said):
        is_welcome(given)
