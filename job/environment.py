"""Flink's environment for this job: what it is given, what is filled in, and what would void a promise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.pyflink_gateway_server import find_java_executable
from pyflink.util.java_utils import get_j_env_configuration

from job.durations import read_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

RESET_THRESHOLD = "restart-strategy.exponential-delay.reset-backoff-threshold"
ROOT = Path(__file__).resolve().parent.parent

# Filled in where neither a setting, nor `flink run -D`, nor the cluster's config.yaml says otherwise.
DEFAULTS = {
    # An outage is waited out inside a request; what restarts is for crashes. A refusal comes back at every attempt, so
    # a bounded number of quick attempts ends FAILED with its sentence. Flink's default counts the crashes of an hour as
    # one row of attempts.
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "1 s",
    "restart-strategy.exponential-delay.max-backoff": "1 min",
    "restart-strategy.exponential-delay.backoff-multiplier": "1.5",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff": "10",
    RESET_THRESHOLD: "5 min",
    # Flink's default, 0, fails the job at the first checkpoint that expires in an outage.
    "execution.checkpointing.tolerable-failed-checkpoints": "1000000",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    # Else each message is copied between the operators of the source's chain, none of which keeps or changes it.
    "pipeline.object-reuse": "true",
}

# Setting, the values that do no harm (in lower case), and what the others would do.
_HARMLESS: Mapping[str, tuple[frozenset[str], str]] = {
    "execution.checkpointing.unaligned.enabled": (
        frozenset({"false"}),
        "an unaligned checkpoint keeps messages in its state and completes before they are in Qdrant",
    ),
    "python.execution-mode": (
        frozenset({"process"}),
        "batches are flushed before a checkpoint only by Python workers that are processes",
    ),
    "pipeline.operator-chaining.enabled": (frozenset({"true"}), "a batch is handed over within one chain of operators"),
    # The name of the same before Flink 2.
    "pipeline.operator-chaining": (frozenset({"true"}), "a batch is handed over within one chain of operators"),
    "python.operator-chaining.enabled": (frozenset({"true"}), "a batch is handed over within one chain of operators"),
    "execution.runtime-mode": (frozenset({"streaming"}), "there are no checkpoints in batch mode"),
    "table.exec.resource.default-parallelism": (
        frozenset({"-1"}),
        "with a parallelism of its own the source would hand messages to parse out of their order",
    ),
}


def prepare_local_workers() -> None:
    """Let a minicluster run Python workers as processes of their own, as a cluster does. Before the JVM starts.

    On a cluster it changes nothing: workers are processes there, and get their files by ``-pyfs``.
    """
    # Else PyFlink runs them as threads of this process: under one GIL, and alive after their task was cancelled.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112 - PyFlink's spelling
    _prepend("PYTHONPATH", ROOT)
    # By its name, on PATH: Flink's pyflink-udf-runner.sh breaks on a space in the path of Python.
    _prepend("PATH", Path(sys.executable).parent)


def start_java() -> str | None:
    """Start Flink's JVM, unless `flink run` has; return why it does not start, if so."""
    try:
        get_gateway()
    except OSError as error:
        why = f"cannot be run ({error.strerror})"
    except RuntimeError as error:  # PyFlink's, with all that Java wrote
        why = f"says: {str(error).partition('Stderr:')[2].strip().partition(chr(10))[0]}"
    else:
        return None
    return (
        f"Flink needs Java 17 or 21, and `{find_java_executable()}` {why}. Install it (Debian:"
        " openjdk-17-jre-headless), and see that it is on PATH or that JAVA_HOME names its folder."
    )


def create(given: Mapping[str, str], fallback: Mapping[str, str]) -> StreamExecutionEnvironment:
    """Return the stream environment.

    Args:
        given: Flink options that the user set for this job: they win.
        fallback: Flink options to fill in where the user and the cluster say nothing.
    """
    configured = effective(_environment(given))
    missing = {name: value for name, value in {**DEFAULTS, **fallback}.items() if name not in configured}
    if configured.get("execution.target") == "local":
        missing.setdefault("python.executable", Path(sys.executable).name)
    return _environment({**missing, **given})


def add_connector(environment: StreamExecutionEnvironment, jar: Path | None) -> None:
    """Ship the Kafka connector with the job: the given jar, or else the one that scripts/setup.sh fetched, if any.

    Not by ``pipeline.jars``: on a cluster that would replace flink-python's own jar.
    """
    fetched = sorted((ROOT / "target" / "jars").glob("flink-sql-connector-kafka-*.jar"))
    for path in [jar] if jar else fetched[-1:]:
        environment.add_jars(path.as_uri())


def effective(environment: StreamExecutionEnvironment) -> dict[str, str]:
    """Return the options that the environment was configured with, defaults left out."""
    j_configuration = get_j_env_configuration(environment._j_stream_execution_environment)  # noqa: SLF001
    return dict(Configuration(j_configuration=j_configuration).to_dict())


def may_be_after_a_crash(configured: Mapping[str, str]) -> bool:
    """Tell whether Flink runs this client by itself whenever a JobManager takes over: its end would be the job's.

    In application mode the client runs in the JobManager, and with high availability each new one runs it again
    before the job goes on at its last checkpoint.
    """
    availability = configured.get("high-availability.type", configured.get("high-availability", "none"))
    return configured.get("execution.target") == "embedded" and availability.strip().lower() != "none"


def faults_of(configured: Mapping[str, str]) -> list[str]:
    """Return a sentence for each option that would void a promise of this job."""
    faults = [
        f"{name} is {configured[name]!r}: {harm}. Leave it out of the arguments and of Flink's config.yaml."
        for name, (harmless, harm) in _HARMLESS.items()
        if name in configured and configured[name].strip().lower() not in harmless
    ]
    interval = configured.get("execution.checkpointing.interval", "0")
    if not read_duration(interval):
        faults.append(
            f"execution.checkpointing.interval is {interval!r}: without checkpoints nothing says what is safely in "
            "Qdrant, and a restart begins anew. Give an interval such as 10 s."
        )
    return faults


def _prepend(variable: str, folder: Path) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [str(folder), os.environ.get(variable)]))


def _environment(options: Mapping[str, str]) -> StreamExecutionEnvironment:
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    return StreamExecutionEnvironment.get_execution_environment(configuration)
