"""How the end of a job is told, by traces that Flink 2.3 wrote. Each row says what made it write them.

Lines are left out, and paths and job ids made short; all else is word for word.
"""

from __future__ import annotations

import platform

import pytest

from job.traces import explain

HERE = ".".join(platform.python_version_tuple()[:2])
WORKER = """\
: org.apache.flink.runtime.client.JobExecutionException: Job execution failed.
	at org.apache.flink.runtime.jobmaster.JobResult.toJobExecutionResult(JobResult.java:180)
Caused by: java.lang.RuntimeException: Failed to close remote bundle
	... 1 more
Caused by: java.util.concurrent.ExecutionException: java.lang.RuntimeException: Error received from SDK harness for \
instruction 1: Traceback (most recent call last):
  File "/venv/lib/python3.11/site-packages/apache_beam/runners/worker/sdk_worker.py", line 311, in _execute
    response = task()
               ^^^^^^
{error}

	... 3 more
"""
NOT_STARTED = """\
Caused by: java.lang.RuntimeException: Failed to create stage bundle factory! Traceback (most recent call last):
  File "<frozen runpy>", line 88, in _run_code
  File "/venv/lib/python3.11/site-packages/pyflink/fn_execution/beam/beam_boot.py", line 35, in <module>
    import grpc
{error}

	at org.apache.flink.streaming.api.runners.python.beam.BeamPythonFunctionRunner.createStageBundleFactory\
(BeamPythonFunctionRunner.java:695)
Caused by: java.lang.IllegalStateException: Process died with exit code 0
	... 23 more
"""
NO_PYFLINK = """\
Caused by: java.io.IOException: Failed to execute the command: /opt/my python/bin/python -c import pyflink;import os;\
print(os.path.join(os.path.abspath(os.path.dirname(pyflink.__file__)), 'bin'))
output: Traceback (most recent call last):
  File "<string>", line 1, in <module>
{error}

	at org.apache.flink.python.util.PythonEnvironmentManagerUtils.execute(PythonEnvironmentManagerUtils.java:194)
"""
NO_PYTHON = """\
Caused by: java.io.IOException: Cannot run program "/nowhere/python": error=2, No such file or directory
	at java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)
Caused by: java.io.IOException: error=2, No such file or directory
	... 26 more
"""
DIED = """\
Caused by: org.apache.beam.vendor.grpc.v1p60p1.io.grpc.StatusRuntimeException: \
org.apache.beam.vendor.grpc.v1p60p1.io.grpc.StatusRuntimeException: CANCELLED: {how}
"""
PORT = """\
: org.apache.flink.util.FlinkException: Could not create the DispatcherResourceManagerComponent.
Caused by: java.net.BindException: Could not start rest endpoint on any port in port range 18309
	... 19 more
"""
NO_CLUSTER = """\
Caused by: org.apache.flink.runtime.client.JobSubmissionException: Failed to submit ExecutionPlan.
	... 1 more
Caused by: java.util.concurrent.CompletionException: org.apache.flink.shaded.netty4.io.netty.channel.AbstractChannel\
$AnnotatedConnectException: Connection refused: /127.0.0.1:15614
	... 23 more
Caused by: java.net.ConnectException: Connection refused
"""
CHECKPOINTS = """\
Caused by: org.apache.flink.util.FlinkRuntimeException: Failed to create checkpoint storage at checkpoint coordinator \
side.
	at org.apache.flink.runtime.checkpoint.CheckpointCoordinator.<init>(CheckpointCoordinator.java:358)
Caused by: {error}
"""

HELP = {
    # flink run -py job/main.py without -pyfs, with the project on the client's PYTHONPATH only
    "zip-not-given": (
        WORKER.format(error="ModuleNotFoundError: No module named 'udfs'"),
        "The workers do not have this job's own modules (udfs). Give them the zip that ./scripts/package builds",
    ),
    # workers' Python is a virtual environment without orjson
    "library-missing": (
        WORKER.format(error="ModuleNotFoundError: No module named 'orjson'"),
        "The workers' Python has no module 'orjson'. Install apache-flink, qdrant-client, orjson and pysimdjson for",
    ),
    # the same without grpc, which PyFlink needs to start a worker
    "library-missing-at-the-start": (
        NOT_STARTED.format(error="ModuleNotFoundError: No module named 'grpc'"),
        "The workers' Python has no module 'grpc'. Install",
    ),
    # workers' Python is a 3.10 that nothing was installed for
    "no-pyflink": (
        NO_PYFLINK.format(error="ModuleNotFoundError: No module named 'pyflink'"),
        "The workers' Python, /opt/my python/bin/python, has no PyFlink. Install",
    ),
    # workers' Python is 2.7
    "python-2": (
        NO_PYFLINK.format(error="ImportError: No module named pyflink"),
        "The workers' Python, /opt/my python/bin/python, has no PyFlink. Install",
    ),
    # python.executable names nothing
    "no-python": (NO_PYTHON, "The workers' Python, '/nowhere/python', cannot be run: No such file or directory. Let"),
    # workers' Python is 3.10, the client's 3.11
    "older-python": (
        WORKER.format(error="TypeError: code expected at most 16 arguments, got 18"),
        f"The workers' Python is of another version than the client's, which is {HERE}. Let python.executable, or",
    ),
    # workers' Python is 3.12, the client's 3.11, or the other way round
    "newer-python": (
        DIED.format(how="client cancelled"),
        "A Python worker ended without a word. At the start of a job that is a Python of another version than the",
    ),
    # kill -9 of a worker
    "killed-worker": (
        DIED.format(
            how="call already cancelled. Use ServerCallStreamObserver.setOnCancelHandler() to disable this exception"
        ),
        "A Python worker ended without a word.",
    ),
    # workers' Python is 3.10 with the packages of 3.11
    "packages-of-another-python": (
        NOT_STARTED.format(error="ImportError: cannot import name 'cygrpc' from 'grpc._cython' (/venv/__init__.py)"),
        "A Python worker did not start: ImportError: cannot import name 'cygrpc' from 'grpc._cython' (/venv/__init__",
    ),
    # --flink.rest.port of a port that somebody listens on
    "port-taken": (PORT, "The port of Flink's web page, 18309, is taken: give another one as --flink.rest.port, or"),
    # flink run -m of an address where nobody listens
    "no-cluster": (NO_CLUSTER, "No Flink cluster answers at 127.0.0.1:15614. Start one, or name the REST address of"),
    # --execution.checkpointing.dir /proc/x
    "checkpoints-not-writable": (
        CHECKPOINTS.format(
            error="java.io.IOException: Failed to create directory for shared state: file:/proc/x/0be3/shared"
        ),
        "Flink cannot keep checkpoints where it should: IOException: Failed to create directory for shared state: ",
    ),
    # --execution.checkpointing.dir s3://b/x without a plugin for it
    "checkpoints-nowhere": (
        CHECKPOINTS.format(
            error="org.apache.flink.core.fs.UnsupportedFileSystemSchemeException: Could not find a file system"
            " implementation for scheme 's3'. The scheme is directly supported by Flink through the following"
            " plugin(s): flink-s3-fs-hadoop, flink-s3-fs-presto."
        ),
        "Flink cannot keep checkpoints where it should: UnsupportedFileSystemSchemeException: Could not find a file",
    ),
    # the last three are made up: a Python worker's own error, Java's, and none
    "python-error": (WORKER.format(error="KeyError: 'x'"), "KeyError: 'x'"),
    "java-error": (
        ": org.apache.flink.a: b\nCaused by: java.c: d\n\tat e\nCaused by: java.f: g\n\tat h\n",
        "java.f: g",
    ),
    "no-cause": ("something else", "Flink said:"),
}


@pytest.mark.parametrize(("trace", "said"), HELP.values(), ids=HELP.keys())
def test_what_is_known_comes_before_the_trace(trace: str, said: str) -> None:
    """A sentence says what was wrong and what to do; the trace, which may say more, follows it unshortened."""
    help_, _, rest = explain(trace).partition("\n\n")
    assert help_.startswith(said)
    assert "\n" not in help_
    assert rest == trace


def test_our_own_sentence_stands_alone() -> None:
    """Where a worker of ours said why it ended the job, there is no more to say."""
    error = "udfs.core.failures.MessageRefusedError: The message at topic 'docs', partition 0, offset 3 was refused"
    assert explain(WORKER.format(error=error)) == error.partition(": ")[2]
