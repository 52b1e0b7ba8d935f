"""Where Qdrant is, and what is shown and trusted there: secrets and certificates are read where they are used."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Connection:
    """How a worker reaches Qdrant.

    Attributes:
        host: Host name or address.
        port: The gRPC port.
        tls: Whether to speak TLS.
        key_source: ``env:NAME`` or ``file:/path`` on the worker, or None. The key itself never enters the job graph.
        timeout_seconds: The deadline of one request.
        ca_file: A file on the worker with the certificates to trust; those that gRPC comes with if None.
    """

    host: str
    port: int
    tls: bool
    key_source: str | None
    timeout_seconds: float
    ca_file: str | None = None

    @property
    def target(self) -> str:
        """The address as gRPC takes it."""
        return f"{self.host}:{self.port}"

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what is sent with each request, the API key as it is now.

        Raises:
            LookupError: see `read_api_key`.
        """
        return () if self.key_source is None else (("api-key", read_api_key(self.key_source)),)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return what secures a channel; None for one without TLS.

        Raises:
            LookupError: see `read_certificates`.
        """
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(None if self.ca_file is None else read_certificates(self.ca_file))


def read_api_key(source: str) -> str:
    """Return the key that ``env:NAME`` or ``file:/path`` names.

    Raises:
        LookupError: It is not there, or cannot be sent; the text says what was looked for, never a key.
    """
    kind, _, name = source.partition(":")
    try:
        key = os.environ[name] if kind == "env" else Path(name).read_text(encoding="utf-8")
    except KeyError:
        raise LookupError(f"qdrant.api.key names the environment variable {name}, which is not set here") from None
    except OSError as error:
        raise LookupError(f"qdrant.api.key names the file {name}, which is not readable: {error.strerror}") from None
    except ValueError:  # no UTF-8, and its words would show a byte
        key = ""
    key = key.strip()
    # gRPC refuses other characters with an error that shows the key.
    if not (key and key.isascii() and key.isprintable()):
        raise LookupError(f"qdrant.api.key names {source}, where there is no key, or one that cannot be sent")
    return key


def read_certificates(file: str) -> bytes:
    """Return the certificates in a PEM file.

    Raises:
        LookupError: There are none: gRPC would only fail every connection.
    """
    try:
        certificates = Path(file).read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates.decode("ascii"))
    except (ssl.SSLError, ValueError):  # the latter for no text, and for none in ASCII
        raise LookupError(f"qdrant.tls.ca.file names {file}, where there is no certificate in PEM") from None
    except OSError as error:
        raise LookupError(f"qdrant.tls.ca.file names {file}, which is not readable: {error.strerror}") from None
    return certificates
