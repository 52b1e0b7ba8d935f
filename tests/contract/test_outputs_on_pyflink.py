"""When outputs leave a worker: decided by the streams of PyFlink's own coders, into which its emitter writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.beam import coder, output_stream
from udfs.outputs import SENT_AT_ONCE, Outputs, output_streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Emitter:
    """Writes outputs as PyFlink's ``NetworkOutputProcessor`` does, with its coder and into Beam's stream.

    Args:
        is_chained: One by one, as when a function is chained behind the stage.

    Attributes:
        sent: What Beam was given to send, so far; it drops what is empty.
    """

    def __init__(self, *, is_chained: bool) -> None:
        self._is_chained = is_chained
        self.sent: list[bytes] = []
        self._coder = coder().get_impl()
        self._beam = output_stream(self.sent)

    def stop_the_clock(self) -> None:
        """End the thread that has everything sent once a second."""
        self._coder._output_stream.close()

    def process_outputs(self, results: Iterable[bytes]) -> None:
        """Write the results; look whether to send."""
        for written in ([result] for result in results) if self._is_chained else (results,):
            self._coder.encode_to_stream(written, self._beam, True)  # noqa: FBT003 - Beam's signature
            self._coder._output_stream.maybe_flush()


@pytest.fixture(params=[False, True], ids=["alone", "chained"])
def emitter(request: pytest.FixtureRequest) -> Iterator[Emitter]:
    """Return an emitter, with no clock that could have it send."""
    emitter = Emitter(is_chained=request.param)
    yield emitter
    emitter.stop_the_clock()


def outputs(emitter: Emitter, *items: bytes) -> Outputs[bytes]:
    """Return outputs as a stage makes them that was opened after the emitter's stream was."""
    streams = output_streams()
    emitter.stop_the_clock()
    return Outputs(items, len, streams)


def test_a_list_would_stay_in_the_worker(emitter: Emitter) -> None:
    """The fact that all this rests on: PyFlink keeps outputs, here until it has ten megabytes."""
    emitter.stop_the_clock()
    emitter.process_outputs([b"parcel"])
    assert emitter.sent == []


def test_outputs_leave_with_their_batch(emitter: Emitter) -> None:
    """Each batch is sent as soon as it was written, whole, and by itself."""
    first, second = outputs(emitter, b"one", b"two"), outputs(emitter, b"three")
    emitter.process_outputs(first)
    (sent,) = emitter.sent
    assert b"one" in sent
    assert b"two" in sent
    emitter.process_outputs(second)
    assert len(emitter.sent) == 2
    assert b"three" in emitter.sent[1]


def test_a_batch_without_outputs_sends_nothing(emitter: Emitter) -> None:
    """Writing points makes no outputs, of which nothing is written, and what is empty is not sent."""
    emitter.process_outputs(outputs(emitter))
    assert emitter.sent == []


@pytest.mark.parametrize("emitter", [True], ids=["chained"], indirect=True)
def test_many_bytes_do_not_wait_for_the_last_output(emitter: Emitter) -> None:
    """Large outputs leave in pieces, and small ones together."""
    half = b"x" * (SENT_AT_ONCE // 2)
    emitter.process_outputs(outputs(emitter, half, half, b"small", b"last"))
    first, second = emitter.sent
    assert len(first) >= SENT_AT_ONCE
    assert b"small" in second
    assert b"last" in second


def test_without_such_streams_outputs_are_a_list() -> None:
    """A PyFlink that has them no longer takes outputs as any others."""
    made: Any = Outputs([1, 2], int, [])
    assert list(made) == [1, 2]
    assert len(made) == 2
