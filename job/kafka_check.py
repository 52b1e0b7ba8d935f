"""What is asked of Kafka before the job starts, so that a wrong address or topic is a sentence, not a hang."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader, load_java_class, to_jarray

from job.faults import neighbours
from job.options import producer_properties
from job.settings import Settings, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

_KAFKA_SECONDS = 10
_SHADED = "org.apache.flink.kafka.shaded."
_KAFKA = f"{_SHADED}org.apache.kafka."
# A broker's own default, and what Kafka's producer holds back for everything it has not sent yet.
_USUAL_RECORD_BYTES, _PRODUCER_BYTES = 1_048_588, 32 * 2**20
_IN_LIB = "put flink-sql-connector-kafka's jar into Flink's lib folder, on every machine."
_AUTHORITY = "Let properties.ssl.truststore.location name the certificate of its authority, of type PEM or JKS."
_CERTIFICATE = "It wants a certificate of this client that it trusts: see properties.ssl.keystore.location."
# Java's or the broker's words for what went wrong with certificates and tokens, and what to do about it.
_HINTS = {
    "unable to find valid certification path": _AUTHORITY,
    "No subject alternative": "Name the host in properties.bootstrap.servers as the broker's certificate does.",
    "NotAfter": "The broker's certificate has expired.",
    "invalid_token": "The broker takes no such token: look at issuer, audience and scope.",
    "fatal alert: bad_certificate": _CERTIFICATE,
    "fatal alert: certificate_": _CERTIFICATE,
}


def check_kafka(settings: Settings, slots: int, *, seconds: int = _KAFKA_SECONDS) -> list[str]:
    """Return why the source could not read, asked by Kafka's very client, with the very properties, that it will use.

    A pattern that fits no topic is only worth a warning: topics may come later. So are slots without a partition.
    """
    try:
        if _cannot_take_tokens(settings):
            return [f"sasl.mechanism is OAUTHBEARER, for which Java must find Kafka's client only once: {_IN_LIB}"]
        _read_properties(settings)
        with _admin(settings) as admin:
            existing = _topics(admin, seconds)
            read = [topic for topic in existing if _is_read(topic, settings)]
            missing = [topic for topic in _needed(settings) if topic not in existing]
            if read and not missing and settings.lanes is None:
                _warn_of_idle_slots(slots, _partitions(admin, read, seconds))
    except Py4JJavaError as error:
        return [_explain_java(error, settings, seconds)]
    if settings.topic_pattern and not read:
        logger.warning("topic-pattern %r fits no topic of %s now", settings.topic_pattern, settings.bootstrap_servers)
    return [
        f"Kafka at {settings.bootstrap_servers} has no topic {topic!r} that this client may see:"
        f" {neighbours(topic, existing)}"
        for topic in missing
    ]


def _needed(settings: Settings) -> list[str]:
    letters = settings.errors_deadletterqueue_topic_name
    return [*settings.topics, *([letters] if letters else [])]


def _is_read(topic: str, settings: Settings) -> bool:
    pattern = settings.topic_pattern
    return bool(re.fullmatch(pattern, topic)) if pattern else topic in settings.topics


def _warn_of_idle_slots(slots: int, partitions: int | None) -> None:
    if partitions is not None and partitions < slots:
        logger.warning(
            "%d of %d slots will have nothing to do, as a partition is read and written by one (partitions in all: %d)."
            ' Lower the parallelism, give `lanes`, or see "Producing" in README before you add partitions: keys move.',
            slots - partitions, slots, partitions,
        )  # fmt: skip


def letter_max_bytes(settings: Settings, seconds: int = _KAFKA_SECONDS) -> int:
    """Return the most bytes that a dead letter may take in its topic."""
    topic = settings.errors_deadletterqueue_topic_name
    allowed = _USUAL_RECORD_BYTES if topic is None else _max_message_bytes(settings, topic, seconds)
    given = [settings.properties.get(name, "") for name in ("max.request.size", "buffer.memory")]
    return min(allowed, _PRODUCER_BYTES, *(int(size) for size in given if size.isdecimal()))


def _max_message_bytes(settings: Settings, topic: str, seconds: int) -> int:
    try:
        with _admin(settings) as admin:
            resource = _topic_resource(topic)
            configs = admin.describeConfigs(get_gateway().jvm.java.util.Collections.singleton(resource)).all()
            config = _answer(configs, seconds).get(resource)
            return int(config.get("max.message.bytes").value())
    except Py4JJavaError as error:
        why = [message or kind for kind, message in _causes(error)][-1]
        logger.warning(
            "Kafka does not tell how large a message may be in topic %r (%s), so dead letters end at %d bytes.",
            topic, why, _USUAL_RECORD_BYTES,
        )  # fmt: skip
        return _USUAL_RECORD_BYTES


def _topic_resource(name: str) -> Any:
    jvm = get_gateway().jvm
    kind = load_java_class(f"{_KAFKA}common.config.ConfigResource$Type")
    parameters = to_jarray(jvm.Class, [kind, load_java_class("java.lang.String")])
    constructor = load_java_class(f"{_KAFKA}common.config.ConfigResource").getConstructor(parameters)
    return constructor.newInstance(to_jarray(jvm.Object, [jvm.Enum.valueOf(kind, "TOPIC"), name]))


def _topics(admin: Any, seconds: int) -> set[str]:
    return {str(name) for name in _answer(admin.listTopics().names(), seconds)}


def _partitions(admin: Any, topics: list[str], seconds: int) -> int | None:
    """Return how many partitions the topics have; None if Kafka does not say, as of one that was deleted just now."""
    names = get_gateway().jvm.java.util.ArrayList()
    for topic in topics:
        names.add(topic)
    try:
        described = _answer(admin.describeTopics(names).allTopicNames(), seconds)
    except Py4JJavaError as error:
        logger.debug("Kafka does not tell how many partitions there are: %s", [*_causes(error)])
        return None
    return sum(len(description.partitions()) for description in described.values())


def _read_properties(settings: Settings) -> None:
    """Let Kafka's own classes read what consumer and producer will be given; raise what they say.

    An admin client passes over all that is not for it.
    """
    reader, writer = (f"{_KAFKA}common.serialization.ByteArray{role}" for role in ("Deserializer", "Serializer"))
    # Without these there is no such client; Flink gives the same.
    own = {"key.deserializer": reader, "value.deserializer": reader}
    _read_as(_client_class(settings, "consumer.ConsumerConfig"), {**settings.kafka_properties, **own})
    if settings.errors_deadletterqueue_topic_name:
        own = {"key.serializer": writer, "value.serializer": writer}
        _read_as(_client_class(settings, "producer.ProducerConfig"), {**producer_properties(settings), **own})


def _read_as(config: Any, properties: Mapping[str, str]) -> None:
    jvm = get_gateway().jvm
    constructor = config.getConstructor(to_jarray(jvm.Class, [load_java_class("java.util.Properties")]))
    constructor.newInstance(to_jarray(jvm.Object, [_of_java(properties)]))


def _of_java(properties: Mapping[str, str]) -> Any:
    of_java = get_gateway().jvm.java.util.Properties()
    for name, value in properties.items():
        of_java.setProperty(name, value)
    return of_java


def _answer(future: Any, seconds: int) -> Any:
    return future.get(seconds, get_gateway().jvm.java.util.concurrent.TimeUnit.SECONDS)


@contextmanager
def _admin(settings: Settings) -> Iterator[Any]:
    """Open the connector's own, relocated admin client, which py4j's class path does not know."""
    jvm = get_gateway().jvm
    parameters = to_jarray(jvm.Class, [load_java_class("java.util.Properties")])
    create = _client_class(settings, "admin.AdminClient").getMethod("create", parameters)
    admin = create.invoke(None, to_jarray(jvm.Object, [_of_java(settings.kafka_properties)]))
    try:
        yield admin
    finally:
        admin.close(jvm.java.time.Duration.ZERO)


def _client_class(settings: Settings, name: str) -> Any:
    if settings.kafka_connector_jar:
        add_jars_to_context_class_loader([settings.kafka_connector_jar.as_uri()])
    return load_java_class(f"{_KAFKA}clients.{name}")


def _cannot_take_tokens(settings: Settings) -> bool:
    # Java keeps the first class that registers for this mechanism, for all of its process, and that takes no callbacks
    # of Kafka clients that other class loaders loaded, such as the job's own after this check's (KAFKA-14102).
    if settings.kafka_properties.get("sasl.mechanism") != "OAUTHBEARER":
        return False
    of_flink = get_gateway().jvm.ClassLoader.getSystemClassLoader()
    return not of_flink.equals(_client_class(settings, "admin.AdminClient").getClassLoader())


def _causes(error: Py4JJavaError) -> Iterator[tuple[str, str]]:
    cause = error.java_exception
    while cause is not None:
        yield cause.getClass().getSimpleName(), _without_trace(cause.getMessage() or "")
        cause = cause.getCause()


def _without_trace(message: str) -> str:
    # Where a login ends with another exception than its own, Java makes a message of the whole stack trace.
    said, trace, _ = message.partition("\n\tat ")
    return re.sub(r"^(?:[\w.$]+: )+", "", said) if trace else message


def _explain_java(error: Py4JJavaError, settings: Settings, seconds: int) -> str:
    kinds, messages = zip(*_causes(error), strict=True)
    servers = settings.bootstrap_servers
    if kinds[-1] == "ClassNotFoundException":
        return _explain_missing(messages[-1])
    if kinds[-1] == "TimeoutException":
        return (
            f"Kafka does not answer at {servers} within {seconds} s: check properties.bootstrap.servers, and"
            " properties.security.protocol, as Kafka does not answer a client that leaves out TLS or uses it in vain."
        )
    # The last may be no more than a file's name; the one before, but for those that repeat it, says what that is about.
    inner = messages[-1] or kinds[-1]
    outer = next((message for message in reversed(messages) if message and not message.endswith(inner)), "")
    inner = f"there is no file {inner}" if kinds[-1] == "NoSuchFileException" else inner
    message = f"{outer}: {inner}" if outer else inner
    if "No LoginModule found for org.apache.kafka" in message:
        message += f", which in Flink's connector is {_SHADED}{message.split()[-1]}"
    message = _without_secrets(message, settings.kafka_properties).rstrip(".")
    hint = next((f" {hint}" for words, hint in _HINTS.items() if words in message), "")
    return f"Kafka at {servers} cannot be used with these properties: {message}.{hint}"


def _explain_missing(name: str) -> str:
    if name.startswith(_SHADED):
        return "Flink has no Kafka connector here: set kafka.connector.jar to flink-sql-connector-kafka's jar."
    libraries = "jose4j, jackson-annotations, jackson-core and jackson-databind"
    which = f"SASL/OAUTHBEARER needs {libraries}" if re.match(r"org\.jose4j|com\.fasterxml", name) else "it is missing"
    return f"Kafka's client does not find {name} in Flink's lib folder: {which}."


def _without_secrets(text: str, properties: dict[str, str]) -> str:
    secrets = [value for name, value in properties.items() if is_secret(name) and value]
    # A JAAS entry is a secret as a whole; of its parts, those are that are called so.
    for option, value in re.findall(r"""(\w+)\s*=\s*["']([^"']+)["']""", " ".join(secrets)):
        secrets += [value] if is_secret(option) else []
    for secret in secrets:
        text = text.replace(secret, "***")
    # Of an entry that Kafka cannot read, it quotes a word: the password, where the quotes around that are forgotten.
    return re.sub(r"'.*'(?= in JAAS config)", "***", text)
