"""What the parts of the path are told, made of what the user set."""

from __future__ import annotations

import pickle

import pytest

from job.arguments import load_settings
from job.environment import RESET_THRESHOLD
from job.options import default_flink_options, given_flink_options, pipeline_options
from udfs.core.dead_letters import LetterRules
from udfs.core.error_limit import ErrorLimit
from udfs.core.messages import ParseRules
from udfs.dead_letters import DeadLetterOptions
from udfs.qdrant.connection import Connection

LEAST = ["--topics=docs", "--properties.bootstrap.servers=kafka:9092", "--qdrant.grpc.url=http://qdrant"]
TOLERANT = ["--errors.tolerance=all", "--errors.deadletterqueue.topic.name=letters"]


def test_both_stages_are_told_what_they_need() -> None:
    """Rules, lanes, sizes, patience and the way to Qdrant are those of the settings."""
    settings = load_settings(
        [
            *(*LEAST, "--qdrant.collection.name=mine", "--sink.record.max-size=2 mb", "--sink.batch.max-size=7"),
            *("--sink.flush-buffer.size=1 mb", "--sink.requests.max-inflight=3", "--sink.retry.max-time=2 min"),
            *("--lanes=5", "--qdrant.api.key=env:KEY", "--sink.request.timeout=9 s"),
        ]
    )
    options = pipeline_options(settings, letter_max_bytes=1000)
    connection = Connection("qdrant", 6334, tls=False, key_source="env:KEY", timeout_seconds=9)
    assert options.source == {**settings.connector_options, "properties.receive.buffer.bytes": "-1"}
    assert options.parse.rules == ParseRules("mine", 2 * 2**20)
    assert options.parse.parcels == options.write.limits
    assert (options.parse.lanes, options.write.max_in_flight) == (5, 3)
    for stage, size, under_way in ((options.parse, 3 * 2**20, 6 * 2**20), (options.write, 2**20, 4 * 2**20)):
        assert (stage.limits.max_count, stage.limits.max_bytes) == (7, size)
        assert stage.limits.max_bytes_under_way == under_way
        assert stage.connection == connection
        assert stage.retry.max_seconds == 120


def test_by_default_outages_are_waited_out_and_nothing_is_keyed() -> None:
    """Without a time limit there is none, and without lanes a worker writes what it has parsed."""
    options = pipeline_options(load_settings(LEAST), letter_max_bytes=1000)
    assert (options.write.retry.max_seconds, options.parse.retry.max_seconds) == (None, None)
    assert options.parse.lanes is None


def test_without_tolerance_nobody_knows_dead_letters() -> None:
    """Neither a stage nor the path has any."""
    options = pipeline_options(load_settings(LEAST), letter_max_bytes=1000)
    assert (options.parse.dead_letters, options.write.dead_letters, options.dead_letters) == (None, None, None)


def test_with_tolerance_both_stages_know_what_dead_letters_look_like() -> None:
    """The name of the job, the size that the topic takes and the limit reach the workers."""
    limit = ["--errors.limit.share=0.5", "--errors.limit.count=7", "--errors.limit.window=90 s"]
    settings = load_settings([*LEAST, *TOLERANT, *limit, "--job.name=my-job"])
    options = pipeline_options(settings, letter_max_bytes=1000)
    expected = DeadLetterOptions(LetterRules("my-job", 1000), ErrorLimit(0.5, 7, 90))
    assert (options.parse.dead_letters, options.write.dead_letters) == (expected, expected)


@pytest.mark.parametrize(
    ("given", "threshold"),
    [
        pytest.param([], None, id="without dead letters"),
        pytest.param(TOLERANT, "900000", id="by default"),
        pytest.param([*TOLERANT, "--errors.limit.window=1 h"], "3900000", id="an hour"),
    ],
)
def test_an_attempt_counts_as_good_only_after_the_window_of_the_limit(given: list[str], threshold: str | None) -> None:
    """Or a job of which nearly every message is refused, but few of them come, would start again for ever."""
    options = default_flink_options(load_settings([*LEAST, *given]))
    assert options.get(RESET_THRESHOLD) == threshold


def test_dead_letters_go_to_the_same_kafka() -> None:
    """Their producer gets the properties of the Kafka client, but for those that would be harmful to it."""
    more = ["--properties.security.protocol=SSL", "--properties.interceptor.classes=x.ForConsumers"]
    settings = load_settings([*LEAST, *TOLERANT, *more])
    assert pipeline_options(settings, letter_max_bytes=5_000_000).dead_letters == {
        "topic": "letters",
        "properties.bootstrap.servers": "kafka:9092",
        "properties.security.protocol": "SSL",
        "properties.acks": "all",
        "properties.max.request.size": "5000000",
        "properties.max.block.ms": "2147483647",
        "properties.delivery.timeout.ms": "2147483647",
    }


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        pytest.param("max.request.size", "77", "5000000", id="what the topic takes counts"),
        pytest.param("acks", "1", "all", id="a barrier waits for all replicas"),
        pytest.param("delivery.timeout.ms", "99", "99", id="how patient it is may be chosen"),
    ],
)
def test_a_property_of_the_producer_is_fixed_where_it_must_be(name: str, given: str, expected: str) -> None:
    """What keeps dead letters safe is not up to the settings; the rest is."""
    settings = load_settings([*LEAST, *TOLERANT, f"--properties.{name}={given}"])
    sink = pipeline_options(settings, letter_max_bytes=5_000_000).dead_letters
    assert sink is not None
    assert sink[f"properties.{name}"] == expected


def test_a_buffer_of_ones_own_for_reading_is_kept() -> None:
    """The system chooses it only where nobody else does."""
    settings = load_settings([*LEAST, "--properties.receive.buffer.bytes=70000"])
    assert pipeline_options(settings, letter_max_bytes=1000).source["properties.receive.buffer.bytes"] == "70000"


def test_the_options_of_the_stages_can_be_sent() -> None:
    """Workers get them pickled; the key of Qdrant is not in them."""
    settings = load_settings([*LEAST, *TOLERANT, "--qdrant.api.key=env:KEY"])
    options = pipeline_options(settings, letter_max_bytes=1000)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own


def test_options_of_flink_are_those_that_were_set() -> None:
    """What the user set wins over the cluster's own options; the rest is only what this job would rather have."""
    settings = load_settings([*LEAST, "--parallelism=2", "--execution.checkpointing.interval=5 s", "--flink.a.b=c"])
    assert given_flink_options(settings) == {
        "a.b": "c",
        "parallelism.default": "2",
        "execution.checkpointing.interval": "5000",
    }
    assert default_flink_options(load_settings(LEAST)) == {
        "execution.checkpointing.interval": "10000",
        "python.fn-execution.bundle.time": "300",
        "python.fn-execution.bundle.size": "10000",
    }
