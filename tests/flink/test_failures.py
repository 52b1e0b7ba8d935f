"""What fails, fails the job, before a checkpoint can pass over it: on Flink's minicluster, with a real Kafka."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer
from qdrant_client import models

from scripts.stack.processes import wait_until
from tests.support.minicluster import Program, job_arguments, run_job
from tests.support.topics import committed, tolerant, write

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant
    from tests.support.minicluster import Ended

pytestmark = pytest.mark.timeout(150)

BURST = "tests.flink.jobs.burst"
COUNT = 40
# Flink hands a bundle's records to Python whenever it has gathered 1,000,000 bytes (Beam's data buffer), so the
# largest, the last one, is there at once and fails while the bundle is still open.
SIZE, LAST_SIZE = 300_000, 1_200_000


def produce_burst(kafka: Kafka, topic: str) -> None:
    """Write 40 large records, the last of them bad, to a topic of one partition."""
    kafka.create_topic(topic, max_message_bytes=2_000_000)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 2_000_000, "log_level": 0})
    for _ in range(COUNT - 1):
        producer.produce(topic, bytes(SIZE), key=b"good")
    producer.produce(topic, bytes(LAST_SIZE), key=b"bad")
    assert producer.flush(30) == 0


def run_burst(kafka: Kafka, topic: str, handler: str, folder: Path) -> Ended | None:
    """Run the job that fails at the last record until it ends, or until that record is committed, which gives None."""
    produce_burst(kafka, topic)
    with Program(BURST, kafka.bootstrap, topic, handler, folder=folder) as program:

        def is_settled() -> bool:
            return not program.is_running or committed(kafka, topic) == COUNT

        wait_until(is_settled, "the job to fail, or to commit the record at which it should have", 100)
        return None if program.is_running else program.ended(0)


def test_no_checkpoint_passes_over_a_failed_last_batch(kafka: Kafka, tmp_path: Path) -> None:
    """A stage that fails at the last record of a burst fails the job, and no checkpoint covers that record."""
    ended = run_burst(kafka, "burst", "ours", tmp_path)
    assert committed(kafka, "burst") < COUNT
    assert ended
    assert ended.code == 1
    assert "the last record is bad" in ended.stderr


def test_checkpoints_pass_over_a_last_batch_whose_handler_raises(kafka: Kafka, tmp_path: Path) -> None:
    """Why handlers never raise: with one that does, the same job runs on, and its failed record is committed."""
    assert run_burst(kafka, "burst-lost", "raising", tmp_path) is None


def test_without_chaining_the_job_fails_at_the_first_record(tmp_path: Path) -> None:
    """Should the check at the start be bypassed, the batch refuses to leave its process, and says what to set."""
    with Program("tests.flink.jobs.unchained", folder=tmp_path) as program:
        ended = program.ended(60)
    assert ended.code == 1
    assert "the two halves of its stage are not chained into one Python worker" in ended.stderr
    assert "Set pipeline.operator-chaining.enabled and python.operator-chaining.enabled to true" in ended.stderr
    assert ended.stdout == ""


def message(point_id: int, **more: object) -> bytes:
    """Return a message for the collection of these tests."""
    return json.dumps({"collection_name": "refusals", "id": point_id, "vector": {"dense": [1.0, 2.0]}, **more}).encode()


RESTART = "restart-strategy.exponential-delay"
TOO_MANY_INDICES = "Bad request: Sparse vector 'sparse' has a limit of 1 indices, but 2 were provided!"
# By the codes of what is wrong with them: messages, and what is said of them.
REFUSED = {
    "id-negative": (message(-5), '"id", the id is below zero'),
    "vector-size": (
        message(5, vector={"dense": [1.0, 2.0, 3.0]}),
        '"vector.dense", a vector has not as many elements as the collection says',
    ),
    "refused-by-qdrant": (
        message(5, vector={"sparse": {"indices": [1, 2], "values": [1.0, 2.0]}}),
        f"Qdrant said INVALID_ARGUMENT: {TOO_MANY_INDICES}",
    ),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refused_message_ends_the_job_with_its_sentence(
    kafka: Kafka, qdrant: Qdrant, tmp_path: Path, code: str
) -> None:
    """One bad message among good ones fails an endless job: its one sentence says which message, and what is wrong."""
    bad, said = REFUSED[code]
    create_refusals(qdrant)
    write(kafka, code, [(None, bad if number == 17 else message(number)) for number in range(20)], partitions=2)
    ended = run_job(*job_arguments(kafka, qdrant, code), folder=tmp_path)
    sentence = f"The message at topic {code!r}, partition 1, offset 8 was refused ({code}): {said}"
    assert (ended.code, ended.stdout, ended.stderr) == (1, "", f"The job failed. {sentence}\n")


def test_a_refused_message_ends_the_job_after_a_bounded_number_of_restarts(
    kafka: Kafka, qdrant: Qdrant, tmp_path: Path
) -> None:
    """The restarts that are right for crashes do not go on for ever where the same message is refused each time."""
    create_refusals(qdrant)
    write(kafka, "bounded", [(None, message(-5))])
    arguments = job_arguments(kafka, qdrant, "bounded")
    arguments[arguments.index("none")] = "exponential-delay"
    quicker = (f"--flink.{RESTART}.attempts-before-reset-backoff=2", f"--flink.{RESTART}.initial-backoff=100 ms")
    ended = run_job(*arguments, *quicker, folder=tmp_path)
    assert ended.code == 1
    assert ended.stderr.startswith("The job failed. The message at topic 'bounded', partition 0, offset 0 was refused")
    assert ended.flink_log.count("switched from state RUNNING to RESTARTING") == 2


def create_refusals(qdrant: Qdrant) -> None:
    """Create the collection for vectors of two elements, and of one sparse one, unless it is there."""
    with closing(qdrant.client()) as client:
        if not client.collection_exists("refusals"):
            client.create_collection(
                "refusals",
                {"dense": models.VectorParams(size=2, distance=models.Distance.DOT)},
                {"sparse": models.SparseVectorParams()},
                strict_mode_config=models.StrictModeConfig(
                    enabled=True, sparse_config={"sparse": models.StrictModeSparse(max_length=1)}
                ),
            )


@pytest.mark.parametrize(
    ("bad", "stage"),
    [
        pytest.param(message(-5), "parse", id="parse"),
        pytest.param(REFUSED["refused-by-qdrant"][0], "write", id="write"),
    ],
)
def test_when_nearly_every_message_is_bad_the_job_fails(
    kafka: Kafka, qdrant: Qdrant, tmp_path: Path, bad: bytes, stage: str
) -> None:
    """Dead letters are no way to lose a whole topic: with errors.limit exceeded the job ends, and says by what."""
    topic, letters = f"nearly-all-{stage}", f"nearly-all-{stage}-letters"
    kafka.create_topic(letters)
    create_refusals(qdrant)
    write(kafka, topic, [(None, message(number) if number < 10 else bad) for number in range(100)])
    limit = ("--errors.limit.share", "0.5", "--errors.limit.count", "90")
    ended = run_job(*job_arguments(kafka, qdrant, topic), *tolerant(letters), *limit, folder=tmp_path)
    assert ended.code == 1
    assert ended.stderr.startswith(
        "The job failed. 90 of the last 100 messages were refused, and errors.limit is reached: something else "
        "is wrong than single messages. The last one: The message at topic"
    )
