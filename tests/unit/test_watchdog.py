"""A worker ends with the script and the JVM above it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from udfs.watchdog import is_alive, task_manager_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# It ignores what an orderly end would send, as a worker hanging in its exit does.
WORKER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)
from udfs.watchdog import end_with_task_manager
end_with_task_manager(); end_with_task_manager()
print(os.getpid(), flush=True)
time.sleep(60)
"""
IN_A_CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def _has_containers() -> bool:
    return bool(shutil.which(IN_A_CONTAINER[0])) and subprocess.call([*IN_A_CONTAINER, "true"]) == 0


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc on this system")


def shell_named(name: str, folder: Path) -> Path:
    """Return a bash of that name in the folder: the kernel names a process after its file."""
    return Path(shutil.copy(shutil.which("bash") or "/bin/bash", folder / name))


@contextmanager
def task_manager_over(
    shell_line: str, folder: Path, name: str = "java"
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """Start java ▶ shell ▶ python, as Flink does; WORKER in the line is the worker. Yield the first, and its output."""
    java = shell_named(name, folder)
    script = folder / "worker.py"
    script.write_text(WORKER)
    line = shell_line.replace("WORKER", f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}")
    with subprocess.Popen(
        [java, "-c", f"bash -c {shlex.quote(line)}; sleep 30"],
        env={**os.environ, "WORKER_ID": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as task_manager:
        assert task_manager.stdout is not None
        try:
            yield task_manager, task_manager.stdout
        finally:
            with suppress(ProcessLookupError):
                os.killpg(task_manager.pid, signal.SIGKILL)


def must_end_within_a_second(worker: int) -> None:
    """Fail if the worker still runs by then."""
    deadline = time.monotonic() + 1
    while _runs(worker):
        assert time.monotonic() < deadline, "the worker outlives what is above it"
        time.sleep(0.02)


@needs_proc
def test_a_worker_ends_within_a_second_of_its_task_managers_death(tmp_path: Path) -> None:
    """With java ▶ shell ▶ python, as Flink starts it, kill -9 of the first ends the last, though the shell lives on."""
    with task_manager_over("WORKER 2>&1 | tee /dev/stderr", tmp_path) as (task_manager, output):
        worker = int(output.readline())
        found = task_manager_of(worker)
        assert found is not None
        assert found.pid == task_manager.pid
        task_manager.send_signal(signal.SIGKILL)
        task_manager.wait()
        assert not is_alive(found)
        must_end_within_a_second(worker)


@needs_proc
@pytest.mark.parametrize("name", ["java", "something else"])
def test_a_worker_ends_within_a_second_of_its_runners_death(tmp_path: Path, name: str) -> None:
    """Flink ends a worker by ending the script above it, and the worker follows at once, whatever is above that."""
    with task_manager_over("echo $$; WORKER; true", tmp_path, name) as (_task_manager, output):
        shell, worker = int(output.readline()), int(output.readline())
        os.kill(shell, signal.SIGKILL)
        must_end_within_a_second(worker)


@needs_proc
@pytest.mark.skipif(not _has_containers(), reason="no namespaces of processes can be made here")
def test_a_task_manager_may_be_the_first_process_of_its_container(tmp_path: Path) -> None:
    """As in Flink's own image, where scripts end in `exec java`."""
    java = shell_named("java", tmp_path)
    program = "import os; from udfs.watchdog import task_manager_of; print(task_manager_of(os.getpid()).pid)"
    line = f"{shlex.join([sys.executable, '-c', program])}; true"
    command = [*IN_A_CONTAINER, str(java), "-c", f"bash -c {shlex.quote(line)}; true"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"


@needs_proc
def test_a_process_without_a_jvm_above_has_no_task_manager() -> None:
    """This very test is no worker, so nothing would end it."""
    assert task_manager_of(1) is None


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
