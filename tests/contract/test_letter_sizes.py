"""How large a dead letter may be: what Kafka says of a topic, and what its producer takes a record for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaException, Producer
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader, load_java_class, to_jarray

from job.arguments import load_settings
from job.kafka_check import letter_max_bytes
from scripts.stack.kafka import JARS
from scripts.stack.processes import LOCALHOST, free_port
from tests.support.topics import tolerant
from udfs.core.dead_letters import DeadLetter, LetterRules, Record, dead_letter
from udfs.core.operations import Origin
from udfs.core.refusals import Refusal

if TYPE_CHECKING:
    from job.settings import Settings
    from scripts.stack.kafka import Kafka

KAFKA = "org.apache.flink.kafka.shaded.org.apache.kafka."
USUAL = 1_048_588
RECORD_FORMAT = 2
(JAR,) = JARS.glob("flink-sql-connector-kafka-*.jar")


@pytest.fixture(scope="module", autouse=True)
def _connector(flinks_java: Any) -> None:  # noqa: ARG001 - it is to be there
    """Let Java find Kafka's client."""
    add_jars_to_context_class_loader([JAR.as_uri()])


@pytest.fixture(scope="module")
def topics(kafka: Kafka) -> Kafka:
    """A broker with topics that take messages of unlike sizes."""
    kafka.create_topic("letters-usual")
    kafka.create_topic("letters-small", max_message_bytes=2000)
    kafka.create_topic("letters-large", max_message_bytes=20_000_000)
    kafka.create_topic("letters-huge", max_message_bytes=100_000_000)
    return kafka


def settings(bootstrap: str, *more: str) -> Settings:
    """Return settings with a topic for dead letters, or none."""
    servers = ("--properties.bootstrap.servers", bootstrap, "--qdrant.grpc.url=http://nowhere")
    return load_settings(["--topics=docs", *servers, f"--kafka.connector.jar={JAR}", *more])


SIZES = {
    "a broker's own default": ("letters-usual", [], USUAL),
    "less than it": ("letters-small", [], 2000),
    "more than it": ("letters-large", [], 20_000_000),
    "more than the producer holds": ("letters-huge", [], 32 * 2**20),
    "less than the topic by the producer": ("letters-large", ["--properties.max.request.size=3000000"], 3_000_000),
    "less than the topic by the producer's memory": (
        "letters-large",
        ["--properties.buffer.memory=4000000"],
        4_000_000,
    ),
    "more than the topic by the producer": ("letters-small", ["--properties.max.request.size=3000000"], 2000),
}


@pytest.mark.parametrize(("topic", "more", "expected"), SIZES.values(), ids=SIZES.keys())
def test_a_dead_letter_is_no_larger_than_topic_and_producer_take(
    topics: Kafka, topic: str, more: list[str], expected: int
) -> None:
    """The topic is asked; a producer's own limit that is lower counts."""
    assert letter_max_bytes(settings(topics.bootstrap, *tolerant(topic), *more)) == expected


def test_without_dead_letters_nobody_is_asked() -> None:
    """There is no topic to ask for."""
    assert letter_max_bytes(settings(f"{LOCALHOST}:{free_port()}")) == USUAL


def test_a_topic_that_cannot_be_asked_for_takes_what_is_usual(caplog: pytest.LogCaptureFixture) -> None:
    """Kafka may keep a topic's settings to itself, so this is worth a warning only."""
    assert letter_max_bytes(settings(f"{LOCALHOST}:{free_port()}", *tolerant("letters-large")), seconds=1) == USUAL
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "job.kafka_check"]
    assert warning == (
        "Kafka does not tell how large a message may be in topic 'letters-large' (TimeoutException), so dead letters"
        f" end at {USUAL} bytes."
    )


LETTERS = {
    "nothing": DeadLetter(None, None, {}),
    "empty": DeadLetter(b"", b"", {"": None}),
    "small": DeadLetter(b"k", b"v", {"name": b"h", "other": None}),
    "lengths of two bytes": DeadLetter(b"k" * 100, b"v" * 8191, {"n" * 64: b"h" * 64}),
    "lengths of four bytes": DeadLetter(b"k" * 2**20, b"v" * 2**21, {f"name {at}": b"h" * 2**20 for at in range(3)}),
    "text beyond ASCII": DeadLetter(None, b"v", {"ü𝄞" * 20: "ü𝄞".encode()}),
}


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS.keys())
def test_the_size_is_no_less_than_the_producers_own_estimate(letter: DeadLetter) -> None:
    """That is what Kafka's producer compares with `max.request.size`; ours is hardly more."""
    assert estimated(letter) <= letter.size <= estimated(letter) + 15 + 10 * len(letter.headers)


def estimated(letter: DeadLetter) -> int:
    """Ask Kafka's client, relocated as it is in Flink's connector."""
    jvm = get_gateway().jvm
    estimate = _taking_bytes(
        load_java_class(f"{KAFKA}common.record.AbstractRecords").getMethods(), "estimateSizeInBytesUpperBound"
    )
    no_compression = load_java_class(f"{KAFKA}common.record.CompressionType").getField("NONE").get(None)
    arguments = to_jarray(jvm.Object, [None, no_compression, letter.key, letter.value, _headers(letter)])
    # py4j makes a number of every Byte it meets, and Java takes no other number for one.
    jvm.System.arraycopy(to_jarray(jvm.Byte, [RECORD_FORMAT]), 0, arguments, 0, 1)
    return int(estimate.invoke(None, arguments))


def _headers(letter: DeadLetter) -> Any:
    jvm = get_gateway().jvm
    header = _taking_bytes(load_java_class(f"{KAFKA}common.header.internals.RecordHeader").getConstructors())
    interface = load_java_class(f"{KAFKA}common.header.Header")
    headers = jvm.java.lang.reflect.Array.newInstance(interface, len(letter.headers))
    for at, (name, text) in enumerate(letter.headers.items()):
        headers[at] = header.newInstance(to_jarray(jvm.Object, [name, text]))
    return headers


def _taking_bytes(overloaded: Any, name: str = "") -> Any:
    """Return that one of these methods or constructors that takes arrays of bytes."""
    (found,) = [one for one in overloaded if name in one.getName() and "byte[]" in one.toString()]
    return found


def test_what_the_topic_just_takes_is_taken(topics: Kafka) -> None:
    """A dead letter cut down to the limit of its topic is taken by the broker, however large the message was."""
    record = Record(b"k" * 500, b"v" * 10_000, {"mine": b"h" * 300}, Origin("docs", 3, 17))
    rules = LetterRules("my-job", letter_max_bytes(settings(topics.bootstrap, *tolerant("letters-small"))))
    letter = dead_letter(record, Refusal("id-type", "id", "…"), "parse", rules, is_rendered=False)
    assert letter.key == record.key
    assert letter.size <= 2000
    filled = letter._replace(value=(letter.value or b"") + b"." * (2000 - letter.size))
    assert filled.size == 2000
    for one in (letter, filled):
        _produce(topics, one)
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        _produce(topics, filled._replace(value=(filled.value or b"") + b"." * 200))


def _produce(topics: Kafka, letter: DeadLetter) -> None:
    producer = Producer({"bootstrap.servers": topics.bootstrap, "compression.type": "none"})
    errors: list[Any] = []
    producer.produce(
        "letters-small",
        key=letter.key,
        value=letter.value,
        headers=dict(letter.headers),
        on_delivery=lambda error, _message: errors.append(error),
    )
    assert producer.flush(30) == 0
    if errors[0] is not None:
        raise KafkaException(errors[0])
