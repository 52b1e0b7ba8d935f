"""No secret, and nothing of a message, is anywhere but where it belongs: on a cluster, between servers that want both.

What Flink shows and writes is copied at four moments into a folder, and the folder is searched.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from trustme import CA

from scripts.stack.flink import FlinkCluster
from scripts.stack.processes import LOCALHOST, StackError
from tests.e2e.confidants import SECONDS, Confidants
from tests.e2e.letters import create_letters_topic
from tests.support.evidence import RecordingProxy, keep
from tests.support.leaks import Leak, leaks, text
from tests.support.marked import (
    COLLECTION,
    ENVIRONMENT,
    JAAS,
    NEW_KEY,
    OLD_KEY,
    PASSWORD,
    USER,
    WRONG_KEY,
    ConfidingKafka,
    bad_ones,
    create_collection,
    good_ones,
    needles_of_messages,
    needles_of_secrets,
)
from tests.support.secured import TlsQdrant, write_key_store
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


# The whole run is part of the first test that asks for it.
pytestmark = pytest.mark.timeout(1200)

TOPIC = "confidential-papers"
POINTS = 2  # of the good ones, all together
# Else the job graph is in memory only: what the JobManager makes of it for a task goes through the blob store. And logs
# on the web page may be those of seconds ago.
CONFIG = {"blob.offload.minsize": 1, "web.refresh-interval": "100 ms"}
FATAL = {"an integer", "an element of a named vector", "Qdrant"}
MOMENTS = ["running", "outage", "failed"]
# Where the environment of a process is for all to see, by Flink or by the system; the blobs are logs on their way to
# the web page.
OF_ENVIRONMENT = re.compile(r"\w+/(files/log/|web/.*\blogs?\b|files/tmp/\w+/blobStorage/no_job/|processes/\d+-environ)")


@pytest.fixture(scope="module")
def run(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confidants]:
    """All that happens: a long job with an outage, and jobs that fail or are not even started."""
    folder, authority = tmp_path_factory.mktemp("secrets"), CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "jaas").write_text(JAAS)
    write_key_store(folder / "secrets" / "client.pem", authority.issue_cert("client.example"))
    with ExitStack() as stack:
        kafka = stack.enter_context(ConfidingKafka(authority.issue_cert(LOCALHOST), authority))
        qdrant = stack.enter_context(TlsQdrant(folder, authority.issue_cert(LOCALHOST), OLD_KEY))
        cluster = stack.enter_context(FlinkCluster(slots=1, config=CONFIG, env=ENVIRONMENT))
        door = stack.enter_context(RecordingProxy(cluster.rest_url.removeprefix("http://")))
        run = Confidants(folder, package, kafka, qdrant, cluster, door)
        with closing(run.client()) as client:
            create_collection(client)
        run_for_long(run)
        run_in_vain(run)
        (run.evidence / "sent").write_bytes(door.bodies)
        yield run


def run_for_long(run: Confidants) -> None:
    """Run a job until `flink stop`, with bad messages, and with an API key that is refused for a while."""
    run.kafka.create_topic(TOPIC)
    letters = create_letters_topic(run.kafka, f"{TOPIC}-dead")
    run.show_key(OLD_KEY)
    run.produce(TOPIC, [*good_ones(20), *bad_ones()])
    # With lanes, so that in the outage both stages have something to wait for.
    job = run.submit(TOPIC, *tolerant(letters), "--lanes=1")
    run.wait_for_letters(letters, len(bad_ones()))
    keep(run.cluster, run.evidence / "running")
    run.show_key(WRONG_KEY)
    run.qdrant.rotate_key(NEW_KEY)
    run.produce(TOPIC, good_ones(20))
    run.wait_for_log(f"operations of collection '{COLLECTION}' it said", times=5)
    run.produce(TOPIC, [*bad_ones(), *good_ones(20)])
    run.wait_for_log("the description of", times=3)
    keep(run.cluster, run.evidence / "outage")
    run.show_key(NEW_KEY)
    run.wait_for_letters(letters, 2 * len(bad_ones()))
    with closing(run.client()) as client:
        assert client.count(COLLECTION).count == POINTS
    run.cluster.stop_with_savepoint(job.id, run.evidence / "state" / "savepoint", seconds=SECONDS)


def run_in_vain(run: Confidants) -> None:
    """Run jobs that a bad message ends, and start one with a key and one with a password that are not accepted."""
    for number, bad in enumerate(message for message in bad_ones() if message.name in FATAL):
        topic = f"{TOPIC}-{number}"
        run.kafka.create_topic(topic)
        run.produce(topic, [*good_ones(2), bad])
        run.cluster.wait_for(run.submit(topic, "--flink.restart-strategy.type=none").id, "FAILED", seconds=SECONDS)
    run.show_key(WRONG_KEY)
    jaas = run.folder / "secrets" / "jaas"
    jaas.write_text(JAAS.replace(USER, f"un{USER}"))
    with pytest.raises(StackError, match="not accept the API key") as refused:
        run.submit(TOPIC)
    assert "Authentication failed" in str(refused.value)
    run.show_key(NEW_KEY)
    jaas.write_text(JAAS)
    keep(run.cluster, run.evidence / "failed")


def told(found: Iterable[Leak]) -> str:
    """Return one line for each."""
    return "\n".join(map(str, found))


def test_no_secret_is_anywhere(run: Confidants) -> None:
    """Neither an API key nor what opens Kafka is on a web page, in a log, in a state or in what is sent to Flink."""
    found = leaks(run.evidence, needles_of_secrets((run.folder / "secrets" / "client.pem").read_text()))
    assert not found, told(found)


def test_nothing_of_a_message_is_anywhere(run: Confidants) -> None:
    """What messages hold goes to Qdrant and to the dead letters only."""
    found = leaks(run.evidence, needles_of_messages())
    assert not found, told(found)


HARMLESS = [
    *((f"{moment}/web/", f"KafkaSourceReader.topic.{TOPIC}") for moment in ("running", "outage")),
    *((f"{moment}/web/", "dead letters to Kafka") for moment in MOMENTS),
    *((f"{moment}/files/log/", "First dead letter of parse with code") for moment in MOMENTS),
    *((f"{moment}/files/log/", "The parse stage opens with") for moment in MOMENTS),
    *((f"{moment}/processes/", "pyflink.fn_execution.beam.beam_boot") for moment in ("running", "outage")),
    *((f"{moment}/files/tmp/", "config.providers.secrets.class") for moment in ("running", "outage")),
    *((f"{moment}/files/tmp/", "/secrets/key") for moment in ("running", "outage")),
    ("outage/files/log/", "This will not pass by itself: put the API key right"),
    ("outage/web/taskmanagers", "This will not pass by itself: put the API key right"),
    ("failed/web/jobs", f"The message at topic '{TOPIC}-"),
    ("failed/web/jobs", "Qdrant said INVALID_ARGUMENT"),
    ("failed/web/jobmanager", f"The message at topic '{TOPIC}-"),
    ("failed/files/log/client", "Job has been submitted with JobID"),
    ("failed/files/log/client", "does not accept the API key that is at file:"),
    ("state/checkpoints/", TOPIC),
    ("state/savepoint/", TOPIC),
    ("sent", "config.providers.secrets.class"),
    ("sent", "/secrets/key"),
]


@pytest.mark.parametrize(("place", "word"), HARMLESS)
def test_what_may_be_there_is_found(run: Confidants, place: str, word: str) -> None:
    """The search does look there: what holds no secret is found by it."""
    assert [leak for leak in leaks(run.evidence, [text("harmless", word)]) if leak.place.startswith(place)]


def test_a_key_from_the_environment_is_in_logs_and_nowhere_else(run: Confidants) -> None:
    """Why `file:` is the better place: Flink logs the variables of a Python that it starts, or ends (FLINK-39572)."""
    (key,) = ENVIRONMENT.values()
    found = leaks(run.evidence, [text("the key in the environment", key)])
    assert [leak for leak in found if leak.place.startswith("failed/files/log/")]
    elsewhere = [leak for leak in found if not OF_ENVIRONMENT.match(leak.place)]
    assert not elsewhere, told(elsewhere)


def test_a_careless_job_is_found_out(run: Confidants) -> None:
    """A password that is written into the settings is in the job graph, where the same search finds it."""
    topic = f"{TOPIC}-of-the-careless"
    run.kafka.create_topic(topic)
    run.door.sent.clear()
    job = replace(run, jaas=JAAS).submit(topic)
    job.wait_for(job.is_running, "every task to run", seconds=SECONDS)
    careless = run.folder / "careless"
    keep(run.cluster, careless)
    (careless / "sent").write_bytes(run.door.bodies)
    run.cluster.cancel(job.id)
    found = [leak.place for leak in leaks(careless, [text("the password", PASSWORD)])]
    assert "sent" in found
    assert any(place.startswith("files/tmp/") for place in found), found
