"""Lets what a batch makes leave for Java at once, where PyFlink keeps it until the bundle or a second is over.

That is what the parse stage has for writers elsewhere, where lanes are given. At full speed it is megabytes by then,
and Beam copies them ten times on their way, each time into memory that the system has to find page by page. A batch at
a time, most of the same copies are made in memory that is there, and what comes next in Java has work sooner
(scripts/benchmark/NOTES.md has figures). Most, as Beam joins what waits to be sent, and no output is divided.

PyFlink's output stream (``BeamTimeBasedOutputStream`` in pyflink/fn_execution/beam/beam_stream_fast.pyx, 2.2 and 2.3)
looks after each batch whether it was told to send what it has, or has ten megabytes: a thread of its own tells it every
second. Here it is told when there is something to send. Nothing but speed rests on it: without such a stream outputs
leave as before.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Out = TypeVar("Out")

_TELLS_A_STREAM = "notify_flush"

SENT_AT_ONCE = 512 * 1024
"""So many bytes are worth a message to Java. Chosen when a megabyte and more was kept out of the heap."""


class Outputs(list[Out]):
    """The outputs of one batch, which leave as soon as they have been written into the stream.

    PyFlink's emitter iterates over them, on the thread that writes. It looks whether to send when all are written or,
    if a function is chained behind the stage as that of ``key_by`` is, after each.

    Args:
        outputs: What the batch made.
        bytes_of: About how many bytes an output has.
        streams: Tells the streams of this process to send, as `output_streams` returns it.
    """

    def __init__(
        self, outputs: Iterable[Out], bytes_of: Callable[[Out], int], streams: Sequence[Callable[[], None]]
    ) -> None:
        super().__init__(outputs)
        self._bytes_of = bytes_of
        self._streams = streams

    def __iter__(self) -> Iterator[Out]:
        """Iterate; with the last one, or when there are many bytes, let all be sent that are written."""
        written = 0
        for number, output in enumerate(super().__iter__(), 1):
            written += self._bytes_of(output)
            if written >= SENT_AT_ONCE or number == len(self):
                written = 0
                for tell in self._streams:  # one of them has the outputs
                    tell()
            yield output


def output_streams() -> list[Callable[[], None]]:
    """Return what tells each stream of this process to send; that of a stage's outputs is there before it is opened."""
    called = [getattr(thread, "_function", None) for thread in threading.enumerate()]
    return [call for call in called if callable(call) and getattr(call, "__name__", "") == _TELLS_A_STREAM]
