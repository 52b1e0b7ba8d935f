"""What is asked of Qdrant and Kafka before the job starts, so that a wrong address or key is a sentence, not a hang."""

from __future__ import annotations

import difflib
import logging
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from py4j.protocol import Py4JJavaError
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader, load_java_class, to_jarray
from qdrant_client.grpc import CollectionExistsRequest, CollectionsStub, ListCollectionsRequest

from job.settings import Settings, is_secret
from udfs.qdrant.client import UNWELCOME, Connection, read_api_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

logger = logging.getLogger(__name__)

_QDRANT_SECONDS = 5.0
_PROBE_SECONDS = 2.0
_KAFKA_SECONDS = 10
_MOST_NAMED = 10
_SHADED = "org.apache.flink.kafka.shaded."


def check_qdrant(settings: Settings) -> list[str]:
    """Return why the workers could not write to Qdrant from here: nothing if they could."""
    connection = settings.connection
    try:
        metadata = _metadata(connection.key_source)
    except LookupError as error:
        return [f"{error}. This check needs the key where the job is started, too, not on the workers only."]
    with _channel(connection) as channel:
        try:
            return _missing_collection(channel, metadata, settings.qdrant_collection_name)
        except grpc.RpcError as error:
            return [_explain(error, settings.qdrant_grpc_url, connection)]


def check_kafka(settings: Settings, seconds: int = _KAFKA_SECONDS) -> list[str]:
    """Return why the source could not read, asked by the very client, with the very properties, that it will use.

    A pattern that fits no topic is only worth a warning: topics may come later.
    """
    try:
        existing = _topics(settings, seconds)
    except Py4JJavaError as error:
        return [_explain_java(error, settings, seconds)]
    pattern = settings.topic_pattern
    if pattern and not any(re.fullmatch(pattern, topic) for topic in existing):
        logger.warning("topic-pattern %r fits no topic of %s now", pattern, settings.bootstrap_servers)
    missing = [topic for topic in settings.topics if topic not in existing]
    return [
        f"Kafka at {settings.bootstrap_servers} has no topic {topic!r} that this client may see:"
        f" {_neighbours(topic, existing)}"
        for topic in missing
    ]


def _metadata(source: str | None) -> tuple[tuple[str, str], ...]:
    return (("api-key", read_api_key(source)),) if source else ()


def _channel(connection: Connection) -> grpc.Channel:
    target = f"{connection.host}:{connection.port}"
    if connection.tls:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials())
    return grpc.insecure_channel(target)


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
    return [f"Qdrant has no collection {name!r}, which qdrant.collection.name asks for: {_neighbours(name, existing)}"]


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
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return (
            f"The certificate of {url} is not trusted here: GRPC_DEFAULT_SSL_ROOTS_FILE_PATH may name a file of"
            " certificates to trust, here and on the workers."
        )
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


def _is_rest(url: str) -> bool:
    try:
        # Nothing secret is sent, so the certificate does not matter.
        return "qdrant" in httpx.get(url, timeout=_PROBE_SECONDS, verify=False, trust_env=False).json()["title"]  # noqa: S501
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _topics(settings: Settings, seconds: int) -> set[str]:
    jvm = get_gateway().jvm
    admin = _admin(settings)
    try:
        names = admin.listTopics().names().get(seconds, jvm.java.util.concurrent.TimeUnit.SECONDS)
        return {str(name) for name in names}
    finally:
        admin.close(jvm.java.time.Duration.ZERO)


def _admin(settings: Settings) -> Any:
    """Return the connector's own, relocated admin client, which py4j's class path does not know."""
    jvm = get_gateway().jvm
    if settings.kafka_connector_jar:
        add_jars_to_context_class_loader([settings.kafka_connector_jar.as_uri()])
    of_java = jvm.java.util.Properties()
    for name, value in settings.kafka_properties.items():
        of_java.setProperty(name, value)
    parameters = to_jarray(jvm.Class, [load_java_class("java.util.Properties")])
    create = load_java_class(f"{_SHADED}org.apache.kafka.clients.admin.AdminClient").getMethod("create", parameters)
    return create.invoke(None, to_jarray(jvm.Object, [of_java]))


def _causes(error: Py4JJavaError) -> Iterator[tuple[str, str]]:
    cause = error.java_exception
    while cause is not None:
        yield cause.getClass().getSimpleName(), cause.getMessage() or ""
        cause = cause.getCause()


def _explain_java(error: Py4JJavaError, settings: Settings, seconds: int) -> str:
    kinds, messages = zip(*_causes(error), strict=True)
    servers = settings.bootstrap_servers
    if kinds[-1] == "ClassNotFoundException":
        return "Flink has no Kafka connector here: set kafka.connector.jar to flink-sql-connector-kafka's jar."
    if kinds[-1] == "TimeoutException":
        return (
            f"Kafka does not answer at {servers} within {seconds} s: check properties.bootstrap.servers, and"
            " properties.security.protocol, as Kafka does not answer a client that leaves out TLS or uses it in vain."
        )
    # The last may be no more than a file's name; the one before, but for those that repeat it, says what that is about.
    inner = messages[-1] or kinds[-1]
    outer = next((message for message in reversed(messages) if message and not message.endswith(inner)), "")
    message = f"{outer}: {inner}" if outer else inner
    if "No LoginModule found for org.apache.kafka" in message:
        message += f", which in Flink's connector is {_SHADED}{message.split()[-1]}"
    message = _without_secrets(message, settings.kafka_properties).rstrip(".")
    return f"Kafka at {servers} cannot be used with these properties: {message}."


def _without_secrets(text: str, properties: dict[str, str]) -> str:
    secrets = [value for name, value in properties.items() if is_secret(name) and value]
    # A JAAS entry is a secret as a whole; of its parts, those are that are called so.
    for option, value in re.findall(r"""(\w+)\s*=\s*["']([^"']+)["']""", " ".join(secrets)):
        secrets += [value] if is_secret(option) else []
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _neighbours(name: str, existing: Iterable[str]) -> str:
    known = sorted(existing)
    if nearest := difflib.get_close_matches(name, known, n=3):
        return f"did you mean {' or '.join(nearest)}?"
    more = " and more" if len(known) > _MOST_NAMED else ""
    return f"there is {', '.join(known[:_MOST_NAMED]) or 'none'}{more}."
