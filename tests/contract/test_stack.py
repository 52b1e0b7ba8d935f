"""The local stack keeps its word: real servers that come up, keep their data over a restart, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from grpc import RpcError
from qdrant_client.models import Distance, PointStruct, VectorParams

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import Kafka
from scripts.stack.processes import ROOT, Process, StackError, free_port, is_listening, wait_until
from scripts.stack.qdrant import Qdrant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from confluent_kafka import KafkaError
    from qdrant_client import QdrantClient

# Prints the groups of the processes it started, and then waits to be ended. `{servers}` is a list of them.
STARTER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import Kafka
from scripts.stack.processes import Process, exit_on_sigterm
from scripts.stack.qdrant import Qdrant

if {politely}:
    exit_on_sigterm()
with ExitStack() as stack:
    servers = [stack.enter_context(server) for server in {servers}]
    groups = [pid for server in servers for pid in getattr(server, "pids", lambda: [server.pid])()]
    print(*groups, flush=True)
    time.sleep(600)
"""

SHELL_WITH_A_CHILD = 'Process("shell", ["sh", "-c", "sleep 600 & wait"], log=Path(sys.argv[1]))'

ENDLESS_JOB = """
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.table import StreamTableEnvironment

env = StreamExecutionEnvironment.get_execution_environment()
env.enable_checkpointing(500)
tables = StreamTableEnvironment.create(env)
tables.execute_sql("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10')")
tables.to_data_stream(tables.from_path("numbers")).map(lambda row: row[0], Types.LONG()).print()
env.execute("endless")
"""


def running_in(groups: AbstractSet[int]) -> list[str]:
    """Return the command lines of the processes of these groups that still run."""
    listing = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], check=True, capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in listing.splitlines()]
    return [" ".join(row[2:]) for row in rows if int(row[0]) in groups and not row[1].startswith("Z")]


def produce(kafka: Kafka, topic: str, values: list[bytes]) -> None:
    """Write the values to the topic and return once the broker has them all; raise if it refuses one."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _message: errors.append(error))
    assert producer.flush(30) == 0
    for error in filter(None, errors):
        raise KafkaException(error)


def consume(kafka: Kafka, topic: str, count: int) -> list[bytes | None]:
    """Return the first values of the topic's partition 0."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "unused", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


def put_a_point(client: QdrantClient, collection: str) -> None:
    """Make a collection that holds one point."""
    client.create_collection(collection, vectors_config=VectorParams(size=2, distance=Distance.DOT))
    client.upsert(collection, [PointStruct(id=7, vector=[1.0, 2.0], payload={})], wait=True)


def count_points(qdrant: Qdrant, collection: str) -> int:
    """Return how many points the collection holds, asked over a fresh connection."""
    client = qdrant.client()
    try:
        return client.count(collection).count
    finally:
        client.close()


@pytest.fixture(scope="module")
def flink() -> Iterator[FlinkCluster]:
    """One cluster for this module, with a free slot after each test."""
    with FlinkCluster(task_managers=1, slots=2) as cluster:
        yield cluster


def test_a_free_port_is_never_one_that_a_client_is_given() -> None:
    """A free port has no listener and lies below the range that the system takes clients' ports from."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = [free_port() for _ in range(50)]
    assert max(ports) < lowest
    assert not any(is_listening(port) for port in ports)


def test_a_server_that_ends_while_it_starts_is_reported_with_its_log(tmp_path: Path) -> None:
    """The error names the server, its exit code and what it said last."""
    with (
        Process("The baker", ["sh", "-c", "echo no flour; exit 4"], log=tmp_path / "log") as baker,
        pytest.raises(StackError, match=r"The baker ended with exit code 4\.\n.*\n  no flour"),
    ):
        baker.wait_ready(lambda: False, seconds=10)


@pytest.mark.parametrize(
    ("politely", "signum", "exit_code"),
    [
        pytest.param(False, signal.SIGKILL, -signal.SIGKILL, id="kill-9"),
        pytest.param(False, signal.SIGTERM, -signal.SIGTERM, id="sigterm"),
        pytest.param(True, signal.SIGTERM, 128 + signal.SIGTERM, id="sigterm-as-exit"),
        pytest.param(False, signal.SIGINT, -signal.SIGINT, id="ctrl-c"),
    ],
)
def test_a_process_and_its_children_end_with_their_starter(
    tmp_path: Path, *, politely: bool, signum: int, exit_code: int
) -> None:
    """However the starting Python ends, its processes and theirs are gone."""
    code = STARTER.format(politely=politely, servers=f"[{SHELL_WITH_A_CHILD}]")
    groups, ended_with = end_starter(code, tmp_path, signum)
    assert ended_with == exit_code
    wait_until(lambda: not running_in(groups), "the shell and its child to end", 10)


@pytest.mark.timeout(120)
def test_nothing_of_the_whole_stack_outlives_its_starter(tmp_path: Path) -> None:
    """After `kill -9` of the Python that started Kafka, Qdrant and Flink, none of their processes runs."""
    code = STARTER.format(politely=False, servers="[Kafka(), Qdrant(), FlinkCluster()]")
    groups, _ = end_starter(code, tmp_path, signal.SIGKILL)
    assert len(groups) == 4
    wait_until(lambda: not running_in(groups), "the servers to end", 10)


def end_starter(code: str, tmp_path: Path, signum: int) -> tuple[set[int], int]:
    """Run a starter until its servers are up, end it, and return their process groups and its exit code."""
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        assert starter.stdout
        groups = {int(group) for group in starter.stdout.readline().split()}
        assert groups
        assert all(running_in({group}) for group in groups)
        starter.send_signal(signum)
        return groups, starter.wait(30)


def test_kafka_gives_back_what_it_was_given(kafka: Kafka) -> None:
    """Records produced to a topic are read from it."""
    kafka.create_topic("stack-plain")
    produce(kafka, "stack-plain", [b"one", b"two"])
    assert consume(kafka, "stack-plain", 2) == [b"one", b"two"]


def test_kafka_takes_a_topics_settings_with_underscores(kafka: Kafka) -> None:
    """`max_message_bytes` is the broker's `max.message.bytes`: it refuses a record that is larger."""
    kafka.create_topic("stack-small", max_message_bytes=1000)
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        produce(kafka, "stack-small", [bytes(2000)])


def test_kafka_keeps_its_port_and_records_over_a_restart() -> None:
    """After a restart the same address serves the same records."""
    with Kafka() as kafka:
        bootstrap = kafka.bootstrap
        kafka.create_topic("kept")
        produce(kafka, "kept", [b"one"])
        kafka.restart()
        assert kafka.bootstrap == bootstrap
        assert consume(kafka, "kept", 1) == [b"one"]


@pytest.mark.parametrize("end", [Qdrant.stop, Qdrant.kill], ids=["stop", "kill"])
def test_qdrant_keeps_its_ports_and_points_over_a_restart(end: Callable[[Qdrant], None]) -> None:
    """After a stop or a crash and a restart, the same addresses serve the same points."""
    with Qdrant() as qdrant:
        client = qdrant.client()
        put_a_point(client, "kept")
        client.close()
        addresses = qdrant.rest_url, qdrant.grpc_url
        end(qdrant)
        qdrant.restart()
        assert (qdrant.rest_url, qdrant.grpc_url) == addresses
        assert count_points(qdrant, "kept") == 1


def test_qdrant_refuses_who_does_not_show_its_api_key() -> None:
    """With an API key set, a client with it is served and one without it is not."""
    with Qdrant(api_key="open-sesame") as qdrant:
        client = qdrant.client()
        put_a_point(client, "guarded")
        client.close()
        qdrant.api_key = None
        with pytest.raises(RpcError, match=r"UNAUTHENTICATED|Must provide an API key"):
            count_points(qdrant, "guarded")


@pytest.mark.timeout(180)
def test_flink_replaces_a_killed_task_manager(flink: FlinkCluster) -> None:
    """A cluster shows its slots; of two TaskManagers one can be killed, and the other is left."""
    assert flink.rest("/overview")["slots-total"] == 2
    flink.add_task_manager()
    first, second = flink.task_manager_pids()
    assert flink.rest("/overview")["slots-total"] == 4
    flink.kill_task_manager(0)
    assert flink.task_manager_pids() == [second]
    assert not running_in({first})


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["FLINK_HOME", "FLINK_LIB_DIR", "FLINK_PLUGINS_DIR", "FLINK_OPT_DIR"])
def test_flink_is_the_installed_one_whatever_the_environment_says(
    flink: FlinkCluster, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyFlink itself sets these variables where it is imported, and a path with a space breaks Flink's scripts."""
    monkeypatch.setenv(name, str(tmp_path / "another Flink"))
    with pytest.raises(StackError, match=r"no-such\.py") as caught:
        flink.run_job(["-py", tmp_path / "no-such.py"])
    logs = "".join(log.read_text(errors="replace") for log in flink.log_dir.iterdir())
    assert "another Flink" not in f"{caught.value} {logs}"


@pytest.mark.timeout(240)
def test_flink_runs_a_job_in_python_workers_and_stops_it_with_a_savepoint(flink: FlinkCluster, tmp_path: Path) -> None:
    """A submitted job runs in Python workers of the cluster, completes checkpoints, and leaves a savepoint."""
    (tmp_path / "endless.py").write_text(ENDLESS_JOB)
    job = flink.run_job(["-py", tmp_path / "endless.py"])
    assert flink.wait_for(job, "RUNNING") == "RUNNING"
    wait_until(lambda: bool(flink.checkpoints(job)["counts"]["completed"]), "a checkpoint", 60)
    assert len(flink.python_worker_pids()) == 1
    savepoint = flink.stop_with_savepoint(job, tmp_path)
    assert savepoint.startswith(tmp_path.as_uri().replace("///", "/"))
    wait_until(lambda: not flink.python_worker_pids(), "the Python worker to end with its job", 30)
    with pytest.raises(StackError, match="is FINISHED, not RUNNING"):
        flink.wait_for(job, "RUNNING")


@pytest.mark.timeout(120)
def test_flink_says_why_a_job_was_not_submitted(flink: FlinkCluster, tmp_path: Path) -> None:
    """What the client's Python said stands in the error."""
    # Flink looks once whether Python is alive (PythonEnvUtils), and says no more if it has gone by then.
    faulty = "import time; time.sleep(1); raise SystemExit('The setting lanes is not a number.')"
    (tmp_path / "faulty.py").write_text(faulty)
    with pytest.raises(StackError, match="The setting lanes is not a number"):
        flink.run_job(["-py", tmp_path / "faulty.py"])
