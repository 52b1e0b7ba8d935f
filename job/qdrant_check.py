"""What is asked of Qdrant before the job starts, so that a wrong address or key is a sentence, not a hang."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING

import grpc
import httpx
from qdrant_client.grpc import (
    CollectionExistsRequest,
    CollectionsStub,
    HealthCheckRequest,
    ListCollectionsRequest,
    QdrantStub,
)

from job.faults import neighbours
from udfs.qdrant.client import UNWELCOME

if TYPE_CHECKING:
    from job.settings import Settings
    from udfs.qdrant.connection import Connection

_QDRANT_SECONDS = 5.0
_PROBE_SECONDS = 2.0
# The first that knows a vector's type by its field (`Vector.dense` and so on in points.proto). To an older one every
# vector would be empty, and every message wrong.
_OLDEST = (1, 13)
_OTHER_HOST = "Name the host in qdrant.grpc.url as the certificate does"
# By the numbers of OpenSSL's x509_vfy.h.
_REMEDIES = {9: "Wait, or set the clocks right", 10: "Renew it", 62: _OTHER_HOST, 64: _OTHER_HOST}
_UNKNOWN_AUTHORITY = "Let qdrant.tls.ca.file name a file with that of its authority, here and on the workers"


def check_qdrant(settings: Settings) -> list[str]:
    """Return why the workers could not write to Qdrant from here: nothing if they could."""
    connection = settings.connection
    try:
        metadata, opened = connection.metadata(), _channel(connection)
    except LookupError as error:
        return [f"{error}. This check needs it where the job is started, too, not on the workers only."]
    with opened as channel:
        try:
            faults = _missing_collection(channel, metadata, settings.qdrant_collection_name)
            return [*_old_version(channel, metadata, settings.qdrant_grpc_url), *faults]
        except grpc.RpcError as error:
            return [_explain(error, settings.qdrant_grpc_url, connection)]


def _channel(connection: Connection) -> grpc.Channel:
    credentials = connection.credentials()
    if credentials is None:
        return grpc.insecure_channel(connection.target)
    return grpc.secure_channel(connection.target, credentials)


def _old_version(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...], url: str) -> list[str]:
    stub = QdrantStub(channel)  # type: ignore[no-untyped-call]
    version = stub.HealthCheck(HealthCheckRequest(), timeout=_QDRANT_SECONDS, metadata=metadata).version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) >= _OLDEST:
        return []
    oldest = ".".join(map(str, _OLDEST))
    return [f"Qdrant at {url} is version {version}: it must be {oldest} or newer, to know what its vectors are."]


def _missing_collection(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...], name: str | None) -> list[str]:
    collections = CollectionsStub(channel)  # type: ignore[no-untyped-call]
    # A health check would do without a key; a list does not.
    answer = collections.List(ListCollectionsRequest(), timeout=_QDRANT_SECONDS, metadata=metadata)
    existing = {description.name for description in answer.collections}
    if name is None or name in existing:
        return []
    exists = CollectionExistsRequest(collection_name=name)  # knows aliases, too
    if collections.CollectionExists(exists, timeout=_QDRANT_SECONDS, metadata=metadata).result.exists:
        return []
    return [f"Qdrant has no collection {name!r}, which qdrant.collection.name asks for: {neighbours(name, existing)}"]


def _explain(error: grpc.RpcError, url: str, connection: Connection) -> str:
    code, details = error.code(), error.details()
    if code not in UNWELCOME:
        return _explain_address(url, connection, f"{code.name}, {details}")
    if connection.key_source is None:
        return f"Qdrant at {url} wants an API key: set qdrant.api.key to `env:NAME` or `file:/absolute/path`."
    return f"Qdrant at {url} does not accept the API key that is at {connection.key_source}: {details}."


def _explain_address(url: str, connection: Connection, error: str) -> str:
    """Return what is wrong with an address where no gRPC call came through: gRPC's own words are no help."""
    has_tls = _speaks_tls(connection.host, connection.port)
    if has_tls is None:
        return f"Nothing answers at {url}: check qdrant.grpc.url, and that Qdrant is running."
    address = f"{'https' if has_tls else 'http'}://{url.partition('://')[2]}"
    if _is_rest(address):
        grpc_address = f"{address.rpartition(':')[0]}:6334"
        return f"{url} is Qdrant's REST port: qdrant.grpc.url needs the gRPC port, which usually is {grpc_address}."
    if has_tls is not connection.tls:
        return f"The port of {url} speaks {'TLS' if has_tls else 'no TLS'}: write {address} for qdrant.grpc.url."
    if why := connection.tls and _why_not_trusted(connection):
        return f"The certificate of {url} is not trusted here: {why}."
    if "CERTIFICATE_VERIFY_FAILED" in error:  # by gRPC, that is, which does not know whom the system trusts
        return f"The certificate of {url} is not trusted here. {_UNKNOWN_AUTHORITY}."
    return f"Qdrant at {url} does not answer: {error}."


def _speaks_tls(host: str, port: int) -> bool | None:
    """Say whether a port speaks TLS, trusted or not; None if nobody listens there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connected:
            try:
                context.wrap_socket(connected, server_hostname=host).close()
            except OSError:
                return False
            return True
    except OSError:
        return None


def _why_not_trusted(connection: Connection) -> str | None:
    """Say what is wrong with a certificate, which gRPC keeps to itself, and what to do about it; None if nothing is."""
    context = ssl.create_default_context(cafile=connection.ca_file)
    address = (connection.host, connection.port)
    try:
        with socket.create_connection(address, timeout=_PROBE_SECONDS) as connected:
            context.wrap_socket(connected, server_hostname=connection.host).close()
    except ssl.SSLCertVerificationError as error:
        remedy = _REMEDIES.get(error.verify_code, _UNKNOWN_AUTHORITY)
        return f"{error.verify_message.rstrip('.')}. {remedy}"
    except OSError:
        return None
    return None


def _is_rest(url: str) -> bool:
    try:
        # Nothing secret is sent, so the certificate does not matter.
        return "qdrant" in httpx.get(url, timeout=_PROBE_SECONDS, verify=False, trust_env=False).json()["title"]  # noqa: S501
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
