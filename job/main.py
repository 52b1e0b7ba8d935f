"""The client: reads the settings, checks what can be checked, lays the path and hands it to Flink. Holds no classes."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

try:
    from py4j.protocol import Py4JJavaError
    from pyflink.table import StreamTableEnvironment

    from job import environment, pipeline
    from job.arguments import SettingsError, load_settings
    from job.kafka_check import check_kafka, letter_max_bytes
    from job.options import default_flink_options, given_flink_options, pipeline_options
    from job.qdrant_check import check_qdrant
    from job.traces import explain
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
        return _refuse([f"Flink does not take an option: {error.java_exception.getMessage()}"])
    environment.add_connector(stream, settings.kafka_connector_jar)
    faults = [
        *environment.faults_of(environment.effective(stream)),
        *check_qdrant(settings),
        *check_kafka(settings, stream.get_parallelism()),
    ]
    if faults:
        return _refuse(faults)
    options = pipeline_options(settings, letter_max_bytes(settings))
    pipeline.build(StreamTableEnvironment.create(stream), options)
    return _execute(stream, settings)


def _execute(stream: StreamExecutionEnvironment, settings: Settings) -> int:
    try:
        stream.execute(settings.job_name)
    except Py4JJavaError as error:
        _say(f"The job failed. {explain(str(error))}")
        return FAILED
    return OK


def _refuse(faults: Sequence[str]) -> int:
    _say("\n".join(["The job was not started:", *(f"  - {fault}" for fault in faults)]))
    return REFUSED


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - to the person who started the job


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
