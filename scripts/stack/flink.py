"""A real Flink cluster for the demo and the tests, from the distribution that apache-flink installs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from scripts.stack.flink_home import FlinkHome
from scripts.stack.flink_rest import FlinkRest
from scripts.stack.processes import LOCALHOST, Process, StackError, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

_START_SECONDS = 90
_WARNING = re.compile(r" (WARN|ERROR|FATAL) ")
_FLINK = 'flink() { bash "$FLINK_HOME/bin/flink" "$@"; }'  # whether or not pip left it executable
_JOB_ID = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")


class FlinkCluster(FlinkRest):
    """A standalone cluster on 127.0.0.1: one JobManager and some TaskManagers, each a process of its own.

    Args:
        task_managers: how many to start with.
        slots: task slots of each.
        config: Flink settings, over those that the local stack chooses.
        env: variables for the cluster's processes, over those that it sets itself; Python workers have them, too.
        application: what follows `standalone-job.sh start-foreground`, for a JobManager that runs this one job and ends
            with it; without, the cluster waits for jobs. Paths must be absolute.
    """

    def __init__(
        self,
        task_managers: int = 1,
        slots: int = 2,
        config: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        application: Sequence[str] = (),
    ) -> None:
        rest_port = free_port()
        super().__init__(f"http://{LOCALHOST}:{rest_port}")
        self._home = self._new_home(Path(tempfile.mkdtemp(prefix="flink-")))
        self._home.prepare(rest_port, slots, config or {})
        self._env = {**self._home.environment(), **(env or {})}
        self._initial_task_managers = task_managers
        self._application = application
        self._job_manager: Process | None = None
        self._task_managers: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def log_dir(self) -> Path:
        """Where every process of the cluster logs."""
        return self._home.log_dir

    def stop(self) -> None:
        """Stop every process of the cluster, Python workers too, and remove its folder."""
        for process in [*self._task_managers, *([self._job_manager] if self._job_manager else [])]:
            process.stop()
        self._http.close()
        shutil.rmtree(self._home.folder, ignore_errors=True)

    def add_task_manager(self) -> None:
        """Start one more TaskManager and return once its slots can be used."""
        self._launch_task_manager().wait_ready(self._is_complete, _START_SECONDS)

    def supervise(self) -> None:
        """Start a TaskManager if none runs, as whatever watches over a cluster would.

        Now and then the cancellation of tasks ends the TaskManager: Beam's DefaultJobBundleFactory finds its "Reference
        count must not be negative" where two tasks share a Python process, and Flink takes that as fatal.
        """
        if not self._running():
            self.add_task_manager()

    def kill_task_manager(self, index: int = 0) -> None:
        """End the index-th running TaskManager as a crash would (SIGKILL), and leave its Python workers alone."""
        self._running()[index].kill()

    def kill_busy_task_manager(self) -> set[int]:
        """Kill a TaskManager that has Python workers, and return their process ids."""
        task_manager_of = {worker: os.getpgid(worker) for worker in self.python_worker_pids()}
        busy = next(iter(task_manager_of.values()))
        self.kill_task_manager(self.task_manager_pids().index(busy))
        return {worker for worker, task_manager in task_manager_of.items() if task_manager == busy}

    def kill_job_manager(self) -> None:
        """End the JobManager as a crash would (SIGKILL). It forgets its jobs; their checkpoints are kept."""
        if self._job_manager:
            self._job_manager.kill()

    def restart_job_manager(self) -> None:
        """Start the JobManager again, at the same address, and return once all TaskManagers are back with it."""
        if self._job_manager:
            self._job_manager.stop()
        self._launch_job_manager().wait_ready(self._is_complete, _START_SECONDS)

    def warnings(self, count: int = 30) -> str:
        """Return the last warnings and errors of each process of the cluster."""
        said = []
        for log in sorted(self.log_dir.glob("*.log")):
            lines = [line for line in log.read_text(errors="replace").splitlines() if _WARNING.search(line)]
            said += [f"The last warnings in {log.name}:", *lines[-count:]]
        return "\n".join(said)

    def pids(self) -> list[int]:
        """Return the process ids of the JobManager and the running TaskManagers."""
        return [*([self._job_manager.pid] if self._job_manager else []), *self.task_manager_pids()]

    def task_manager_pids(self) -> list[int]:
        """Return the process ids of the running TaskManagers, oldest first."""
        return [task_manager.pid for task_manager in self._running()]

    def python_worker_pids(self) -> list[int]:
        """Return the process ids of the Python workers, those of killed TaskManagers included. Linux only."""
        groups = {task_manager.pid for task_manager in self._task_managers}
        return [pid for pid in _pids_of("pyflink.fn_execution.beam.beam_boot") if _group_of(pid) in groups]

    def run_job(
        self,
        args: Sequence[str | Path],
        *,
        detached: bool = True,
        env: Mapping[str, str] | None = None,
        seconds: float = 120,
    ) -> str:
        """Submit a job with `flink run` and return its id; raise StackError with the client's output if that fails.

        Args:
            args: what follows `flink run`; paths must be absolute.
            detached: return once the job is submitted, and not when it ends.
            env: variables for the client only.
            seconds: how long this may take.
        """
        options = ["run", *(["--detached"] if detached else []), *map(str, args)]
        log = self._client_log()
        with self._launch("flink run", log, "flink", options, env) as client:
            exit_code = client.wait(seconds)
        job = _JOB_ID.search(log.read_text(errors="replace"))
        if exit_code or not job:
            raise StackError(f"flink run ended with exit code {exit_code}.\n{client.log_tail()}")
        return job.group(1)

    def shell(self, commands: str, folder: Path, seconds: float = 120) -> str:
        """Run commands of bash in a folder, in which `flink` is this cluster's, and return what they print.

        Raise StackError with that if one of them fails, or if they take longer.
        """
        log = self._client_log()
        bash = ["bash", "-ec", f"{_FLINK}\n{commands}"]
        with Process(commands, bash, log=log, env=self._env, cwd=folder) as client:
            exit_code = client.wait(seconds)
        if exit_code:
            raise StackError(f"{commands}\nended with exit code {exit_code}.\n{client.log_tail()}")
        return log.read_text(errors="replace")

    def _client_log(self) -> Path:
        return self.log_dir / f"client-{len(list(self.log_dir.glob('client-*')))}.out"

    def _new_home(self, folder: Path) -> FlinkHome:
        return FlinkHome(folder)

    def _start(self) -> None:
        job_manager = self._launch_job_manager()
        for _ in range(self._initial_task_managers):
            self._launch_task_manager()
        for process in [job_manager, *self._task_managers]:
            process.wait_ready(self._is_complete, _START_SECONDS)

    def _launch_job_manager(self) -> Process:
        log = self.log_dir / "jobmanager.out"
        script = "standalone-job.sh" if self._application else "jobmanager.sh"
        self._job_manager = self._launch("The JobManager", log, script, ["start-foreground", *self._application])
        return self._job_manager

    def _launch_task_manager(self) -> Process:
        name = f"taskmanager-{len(self._task_managers)}"
        arguments = ["start-foreground", "-D", f"taskmanager.resource-id={name}"]
        self._task_managers.append(self._launch(name, self.log_dir / f"{name}.out", "taskmanager.sh", arguments))
        return self._task_managers[-1]

    def _launch(
        self, name: str, log: Path, script: str, args: Sequence[str], env: Mapping[str, str] | None = None
    ) -> Process:
        # From the cluster's folder: in the repository's, Python would find job and udfs without being given them.
        command = self._home.command(script, *args)
        return Process(name, command, log=log, env={**self._env, **(env or {})}, cwd=self._home.folder)

    def _running(self) -> list[Process]:
        return [task_manager for task_manager in self._task_managers if task_manager.is_running]

    def _is_complete(self) -> bool:
        with contextlib.suppress(httpx.TransportError, StackError):
            answer = self.rest("/taskmanagers")["taskmanagers"]
            # It registers first, and reports its slots a moment later.
            with_slots = {task_manager["id"] for task_manager in answer if task_manager["slotsNumber"]}
            return with_slots.issuperset(process.name for process in self._running())
        return False


def _pids_of(module: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if module.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


def _group_of(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(pid)
    return None
