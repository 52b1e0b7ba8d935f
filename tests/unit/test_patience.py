"""One request, sent until its answer is final: how often, how long, and what is said meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode

from tests.support.store import COMPLETED, NOWHERE
from udfs.core.failures import StoreError
from udfs.core.retry import Backoff
from udfs.qdrant.judge import Action, Answer
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udfs.qdrant.judge import Verdict

QUICK = Backoff(0.0001, 0.0002)
AWAY = Answer(StatusCode.UNAVAILABLE, "connection refused")
BUSY = Answer(StatusCode.RESOURCE_EXHAUSTED, "slow down")
REFUSED = Answer(StatusCode.INVALID_ARGUMENT, "wrong size")
FAULT = Answer(StatusCode.INTERNAL, "panicked")
FINAL = {Action.DONE, Action.REFUSED}


class Server:
    """A server that gives these answers, the last one for ever, and tells which it gave."""

    def __init__(self, answers: Iterable[Answer], story: list[Any] | None = None) -> None:
        self._answers = deque(answers)
        self.story = [] if story is None else story

    async def __call__(self) -> Answer:
        """Answer one request."""
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        self.story.append(answer)
        return answer


def settle(server: Server, *, max_seconds: float | None = None, backoff: Backoff = QUICK, **more: Any) -> Verdict:
    """Send until the answer is final."""

    async def run() -> Verdict:
        patience = Patience(NOWHERE, RetryOptions(backoff, max_seconds), max_in_flight=1)
        return await patience.settled(server, "a request", **{"final": FINAL, **more})

    return asyncio.run(run())


@pytest.mark.parametrize(("answer", "action"), [(COMPLETED, Action.DONE), (REFUSED, Action.REFUSED)])
def test_a_final_answer_ends_the_waiting(answer: Answer, action: Action) -> None:
    """What is transient is asked again; what is final is not."""
    server = Server([AWAY, BUSY, AWAY, answer])
    assert settle(server).action is action
    assert len(server.story) == 4


def test_what_is_final_is_up_to_the_request() -> None:
    """A request that can be split is given back at once; one that cannot waits for better times."""
    server = Server([BUSY, BUSY, COMPLETED])
    assert settle(server, final={Action.SPLIT}).action is Action.SPLIT
    assert settle(server).action is Action.DONE
    assert len(server.story) == 3


def test_a_fault_that_stays_the_same_is_waited_out() -> None:
    """However often the same answer comes, it is an outage, and no message is to blame."""
    server = Server([FAULT] * 50 + [COMPLETED])
    assert settle(server).action is Action.DONE


def test_giving_up_says_how_long_it_was_tried() -> None:
    """With sink.retry.max-time set, an outage ends in an error that says what was tried and what came back."""
    with pytest.raises(StoreError) as given_up:
        settle(Server([AWAY]), max_seconds=0.05, backoff=Backoff(0.02, 0.02))
    sentence = str(given_up.value)
    assert sentence.startswith("Qdrant at qdrant.example:6334 was tried ")
    assert sentence.endswith(
        "times in 0 s and sink.retry.max-time is 0 s. Last answer: UNAVAILABLE: connection refused"
    )


def test_nobody_waits_for_what_comes_too_late() -> None:
    """Where the server asks for a longer wait than there is time, the end comes at once."""
    server = Server([Answer(StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=60)])
    with pytest.raises(StoreError, match=r"was tried 1 times in 0 s and sink\.retry\.max-time is 30 s"):
        settle(server, max_seconds=30)


def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    """It counts more than our own back-off."""
    server = Server([Answer(StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=0.2), COMPLETED])
    started = time.monotonic()
    settle(server)
    assert time.monotonic() - started >= 0.2


def test_an_outage_is_told_from_its_first_failure_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A request that succeeds at once says nothing; see `test_outage.py` for what is said."""
    settle(Server([COMPLETED]))
    assert caplog.messages == []
    settle(Server([AWAY, COMPLETED]))
    said = "To a request it said UNAVAILABLE: connection refused"
    assert caplog.messages == [
        f"Qdrant at qdrant.example:6334: requests waiting: 1, for 0 s by now; next attempt in 0.0 s. {said}",
        "Qdrant at qdrant.example:6334 answers again, after 0 s and 1 failed attempts",
    ]


def test_requests_that_fail_together_are_one_line_a_round(caplog: pytest.LogCaptureFixture) -> None:
    """Of ten requests in an outage of three rounds there are three lines, and one when it is over; all are counted."""
    retried = 0

    def count(**counts: int) -> None:
        nonlocal retried
        retried += counts.get("retried", 0)

    async def run() -> None:
        patience = Patience(NOWHERE, RetryOptions(Backoff(0.1, 10)), 10, count)
        servers = [Server([AWAY, AWAY, AWAY, COMPLETED]) for _ in range(10)]
        await asyncio.gather(*(patience.settled(server, "a request", FINAL) for server in servers))

    asyncio.run(run())
    assert retried == 30
    *rounds, end = caplog.messages
    assert 3 <= len(rounds) <= 8, "the jitter may part a round"
    assert "requests waiting: 10, " in rounds[-1]
    assert end.endswith(" and 30 failed attempts")


def test_a_request_that_is_cancelled_does_not_end_the_outage(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing says that Qdrant is back when the job is stopped meanwhile."""

    async def run() -> None:
        patience = Patience(NOWHERE, RetryOptions(), 1)
        waiting = asyncio.create_task(patience.settled(Server([AWAY]), "a request", FINAL))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(run())
    assert len(caplog.messages) == 1


def test_so_many_requests_are_under_way_at_most() -> None:
    """More wait for their turn."""
    under_way, most = 0, 0

    async def slow() -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return COMPLETED

    async def run() -> None:
        patience = Patience(NOWHERE, RetryOptions(), max_in_flight=2)
        await asyncio.gather(*(patience.settled(slow, "a request", FINAL) for _ in range(6)))

    asyncio.run(run())
    assert most == 2


def test_what_waits_to_be_tried_again_leaves_others_its_place() -> None:
    """With room for one request at a time, one in trouble holds up nobody else."""

    async def run() -> None:
        patience = Patience(NOWHERE, RetryOptions(), max_in_flight=1)
        later = Server([Answer(StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=60)])
        waiting = asyncio.create_task(patience.settled(later, "a request", FINAL))
        await asyncio.sleep(0.01)
        verdict = await asyncio.wait_for(patience.settled(Server([COMPLETED]), "another", FINAL), timeout=5)
        assert verdict.action is Action.DONE
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(run())
