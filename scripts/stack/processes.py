"""Child processes that cannot outlive the Python that started them. Every server of the local stack is one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

ROOT = Path(__file__).resolve().parents[2]
LOCALHOST = "127.0.0.1"

# Waits for the end of the pipe that only the starter holds open, so it acts even after `kill -9` of the starter.
# PR_SET_PDEATHSIG would not do: it fires when the starting *thread* ends, and reaches no grandchildren.
_GUARD = 'read -r _; kill -s KILL -- "-$1"; shift; exec "$@"'  # dash takes no `kill -KILL --`

_LOG_TAIL_LINES = 25
_returned: set[int] = set()  # by free_port


class StackError(RuntimeError):
    """A server of the local stack did not do what it was started for; the text says which, and shows its log."""


class StackWaitError(StackError):
    """Something did not come about in time."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that no client is given for its own end.

    Ports from the system's ephemeral range (32768 up on Linux) are no good for a server that is to be restarted: a
    client that keeps trying to reach it may be given that very port, connect to itself, and keep the server out. No
    port is returned twice: a server may ask for several before it listens on any.
    """
    for _ in range(1000):
        port = 15_000 + secrets.randbelow(17_000)  # `random` may be seeded alike in two processes
        if port in _returned:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOCALHOST, port))
            _returned.add(port)
            return port
    raise StackError("No free port between 15000 and 32000 on 127.0.0.1. Stop some servers and try again.")


def is_listening(port: int) -> bool:
    """Say whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOCALHOST, port)) == 0


def exit_on_sigterm() -> None:
    """Make SIGTERM end this Python as Ctrl-C does, through its context managers, so that temporary folders go too."""

    def leave(signum: int, _frame: object) -> NoReturn:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, leave)


def until_stopped(run: Callable[[], int], say: Callable[[str], object]) -> int:
    """Run what starts servers in context managers; return its exit code, or that of Ctrl-C, after which none is left.

    SIGTERM ends it likewise, without a word.
    """
    exit_on_sigterm()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    try:
        return run()
    except KeyboardInterrupt:
        say("Stopped. Nothing is left running.")
        return 128 + signal.SIGINT


def wait_until(is_done: Callable[[], bool], what: str, seconds: float, every: float = 0.1) -> None:
    """Return as soon as `is_done()`; raise StackWaitError, naming `what`, when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise StackWaitError(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(every)


@dataclass
class Process:
    """A child in its own process group, ended with everything it started by `stop()` or by the end of this Python.

    Args:
        name: what a person calls it, for error texts.
        args: the command line.
        log: the file that its output is appended to.
        env: variables added to those of this Python.
        cwd: its working folder.
        last_rites: a command run if this Python dies without having stopped it.
    """

    name: str
    args: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold an API key
    cwd: Path | None = None
    last_rites: Sequence[str] = ("true",)

    def __post_init__(self) -> None:
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C at the terminal reaches the starter only, which then stops things in order.
            self._child = subprocess.Popen(
                [str(arg) for arg in self.args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=self.cwd,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.pid), *self.last_rites],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id, which is its group's id too."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether the process itself, whatever its children do, has not ended."""
        return self._child.poll() is None

    def wait_ready(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Return once `is_ready()`; raise StackError with the log's end if the process dies or takes too long."""

        def is_settled() -> bool:
            self.check()
            return is_ready()

        try:
            wait_until(is_settled, f"{self.name} to become ready", seconds)
        except StackWaitError as error:
            raise StackError(f"{error}\n{self.log_tail()}") from None

    def check(self) -> None:
        """Raise StackError with the log's end if the process has ended."""
        if not self.is_running:
            raise StackError(f"{self.name} ended with exit code {self._child.returncode}.\n{self.log_tail()}")

    def wait(self, seconds: float) -> int:
        """Return the exit code of a process that ends by itself; raise StackError if it takes longer."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} took longer than {seconds:g} s.\n{self.log_tail()}") from None

    def log_tail(self) -> str:
        """Return the last lines of the log, the frames of Java's stack traces left out, under a heading."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("\tat ")]
        return "\n".join([f"The end of its log, {self.log}:", *(f"  {line}" for line in lines[-_LOG_TAIL_LINES:])])

    def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL), and leave its children to themselves."""
        self._child.kill()
        self._child.wait()

    def stop(self, seconds: float = 10) -> None:
        """End the process, politely for so many seconds, and then whatever is left of its group. Harmless twice."""
        if self._guard.returncode is not None:
            return  # the group's id may be somebody else's by now
        if self.is_running:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        # `wait` before closing the pipe: a guard that saw the pipe's end would go for the group's id, no longer ours.
        self._guard.wait()
        if self._guard.stdin:
            self._guard.stdin.close()
