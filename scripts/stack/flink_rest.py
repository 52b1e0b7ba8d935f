"""What a test or the demo asks of a Flink cluster, through its REST interface."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx

from scripts.stack.processes import StackError, wait_until

if TYPE_CHECKING:
    from pathlib import Path

TERMINAL_STATES = frozenset({"CANCELED", "FAILED", "FINISHED"})


class SavepointRefusedError(StackError):
    """The savepoint took longer than a checkpoint may, or a task was not ready for it, so the job goes on."""


_METRICS_AT_ONCE = 20
_REFUSALS = ("Checkpoint expired", "Checkpoint was declined (tasks not ready)")


class FlinkRest:
    """The jobs of one cluster.

    Args:
        rest_url: the address of the JobManager's REST interface.
    """

    def __init__(self, rest_url: str) -> None:
        self.rest_url = rest_url
        self._http = httpx.Client(base_url=rest_url, trust_env=False, timeout=30)

    def rest(self, path: str, method: str = "GET", body: object = None) -> Any:
        """Return the answer to one request; raise StackError with Flink's reason if it is not a success."""
        answer = self._http.request(method, path, json=body)
        if not answer.is_success:
            raise StackError(f"Flink answered {method} {path} with {answer.status_code}: {answer.text}")
        return answer.json()

    def job_state(self, job: str) -> str:
        """Return the job's state, such as RUNNING."""
        return str(self.rest(f"/jobs/{job}")["state"])

    def runs(self, job: str) -> bool:
        """Tell whether every task runs: the job is RUNNING seconds earlier, while its Python workers start."""
        vertices = self.rest(f"/jobs/{job}")["vertices"]
        return all(vertex["tasks"]["RUNNING"] == vertex["parallelism"] for vertex in vertices)

    def checkpoints(self, job: str) -> dict[str, Any]:
        """Return the job's checkpoint statistics: `counts`, `summary`, `latest`, `history`."""
        return dict(self.rest(f"/jobs/{job}/checkpoints"))

    def accounts(self, job: str) -> Counter[str]:
        """Return what the stages counted in this attempt, summed over subtasks, such as `written`."""
        totals: Counter[str] = Counter()
        for vertex in self.rest(f"/jobs/{job}")["vertices"]:
            metrics = f"/jobs/{job}/vertices/{vertex['id']}/subtasks/metrics"
            ours = [metric["id"] for metric in self.rest(metrics) if ".qdrant." in metric["id"]]
            # Not all at once: Flink takes a line of 4 KB, and names are long where stages share an operator.
            for at in range(0, len(ours), _METRICS_AT_ONCE):
                values = self.rest(f"{metrics}?get={','.join(ours[at : at + _METRICS_AT_ONCE])}")
                totals.update({value["id"].rpartition(".qdrant.")[2]: round(value["sum"]) for value in values})
        return totals

    def failure(self, job: str) -> str:
        """Return the exception that failed or last restarted the job, or an empty text."""
        history = self.rest(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return str(history[0]["stacktrace"]) if history else ""

    def failures(self, job: str) -> str:
        """Return all exceptions that Flink remembers of the job, also of tasks that failed together with another."""
        history = self.rest(f"/jobs/{job}/exceptions")["exceptionHistory"]["entries"]
        return "\n".join(str(one["stacktrace"]) for first in history for one in (first, *first["concurrentExceptions"]))

    def wait_for(self, job: str, *states: str, seconds: float = 60) -> str:
        """Return the state once it is one of `states`; raise StackError if the job ends otherwise or time runs out."""
        seen = ""

        def has_arrived() -> bool:
            nonlocal seen
            seen = self.job_state(job)
            if seen in TERMINAL_STATES.difference(states):
                raise StackError(f"Job {job} is {seen}, not {' or '.join(states)}.\n{self.failure(job)}")
            return seen in states

        wait_until(has_arrived, f"job {job} to be {' or '.join(states)}", seconds)
        return seen

    def stop_with_savepoint(self, job: str, folder: Path, seconds: float = 60) -> str:
        """Stop the job as `flink stop` does and return its savepoint's path, to start from."""
        body = {"targetDirectory": folder.as_uri(), "drain": False}
        trigger = self.rest(f"/jobs/{job}/stop", "POST", body)["request-id"]
        answer: dict[str, Any] = {}

        def is_complete() -> bool:
            answer.update(self.rest(f"/jobs/{job}/savepoints/{trigger}"))
            return bool(answer["status"]["id"] == "COMPLETED")

        wait_until(is_complete, f"the savepoint of job {job}", seconds)
        if "location" not in answer["operation"]:
            why = answer["operation"]["failure-cause"]["stack-trace"]
            kind = SavepointRefusedError if any(refusal in why for refusal in _REFUSALS) else StackError
            raise kind(f"Job {job} was not stopped: {why}")
        self.wait_for(job, "FINISHED", seconds=seconds)
        return str(answer["operation"]["location"])

    def cancel(self, job: str, seconds: float = 60) -> None:
        """Cancel the job without a savepoint and return once it is CANCELED."""
        self.rest(f"/jobs/{job}?mode=cancel", "PATCH")
        self.wait_for(job, "CANCELED", seconds=seconds)
