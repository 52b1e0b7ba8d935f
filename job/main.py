"""The client: reads the settings, checks what can be checked, lays the path and hands it to Flink. Holds no classes."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

try:
    from py4j.protocol import Py4JJavaError
    from pyflink.table import StreamTableEnvironment
    from pyflink.util.exceptions import JavaException

    from job import environment, pipeline
    from job.arguments import SettingsError, load_settings
    from job.kafka_check import check_kafka, letter_max_bytes
    from job.options import default_flink_options, given_flink_options, pipeline_options
    from job.qdrant_check import check_qdrant
    from job.traces import explain, sentence_of
except ModuleNotFoundError as missing:
    # Said here, as whatever could say it better may be what is missing.
    if missing.name in ("job", "udfs"):
        advice = (
            "Run `python -m job.main` in the folder of this project, or `flink run` with `-pyfs dist/job.zip`, the zip"
            " that ./scripts/package builds."
        )
    else:
        advice = (
            "Use .venv/bin/python, which ./scripts/demo sets up, or install what requirements.lock lists; `flink run"
            " -pyclientexec` names the Python of the client."
        )
    print(f"The job was not started: {sys.executable} finds no module {missing.name!r}. {advice}", file=sys.stderr)  # noqa: T201 - to the person who started the job
    sys.exit(2)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyflink.datastream import StreamExecutionEnvironment

    from job.settings import Settings

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
_SECONDS_BETWEEN_CHECKS = 10


def main(argv: Sequence[str]) -> int:
    """Run the job; return the exit code: 0 ended well, 1 failed, 2 refused before anything started."""
    # Python's own way, KeyboardInterrupt, makes py4j print a stack trace.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(INTERRUPTED))
    try:
        settings = load_settings(argv)
    except SettingsError as error:
        return _refuse(error.faults)
    environment.prepare_local_workers()
    if fault := environment.start_java():
        return _refuse([fault])
    try:
        stream = environment.create(given_flink_options(settings), default_flink_options(settings))
    except Py4JJavaError as error:
        return _refuse_option(error)
    environment.add_connector(stream, settings.kafka_connector_jar)
    if faults := _faults(stream, settings):
        return _refuse(faults)
    options = pipeline_options(settings, letter_max_bytes(settings))
    try:
        pipeline.build(StreamTableEnvironment.create(stream), options)
    except (Py4JJavaError, JavaException) as error:
        return _refuse_option(error)
    return _execute(stream, settings)


def _faults(stream: StreamExecutionEnvironment, settings: Settings) -> list[str]:
    """Return what is wrong with Flink's options and the servers.

    A JobManager that takes over a running job waits until the servers are there, as the tasks do.
    """
    configured = environment.effective(stream)
    of_options = environment.faults_of(configured)
    while True:
        of_servers = [*check_qdrant(settings), *check_kafka(settings, stream.get_parallelism())]
        if of_options or not of_servers or not environment.may_be_after_a_crash(configured):
            return [*of_options, *of_servers]
        _say(
            f"The job does not go on yet, and will look again in {_SECONDS_BETWEEN_CHECKS} s, as high availability may"
            " have started this after a crash:",
            of_servers,
        )
        time.sleep(_SECONDS_BETWEEN_CHECKS)


def _execute(stream: StreamExecutionEnvironment, settings: Settings) -> int:
    try:
        stream.execute(settings.job_name)
    except Py4JJavaError as error:
        _say(f"The job failed. {explain(str(error))}")
        return FAILED
    return OK


def _refuse_option(error: Exception) -> int:
    return _refuse([f"Flink does not take an option: {sentence_of(str(error))}"])


def _refuse(faults: Sequence[str]) -> int:
    _say("The job was not started:", faults)
    return REFUSED


def _say(text: str, faults: Sequence[str] = ()) -> None:
    lines = [text, *(f"  - {fault}" for fault in faults)]
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - to the person who started the job


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
