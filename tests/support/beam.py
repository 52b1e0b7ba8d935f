"""Beam's side of a Python worker, as far as what a stage makes goes through it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apache_beam.runners.worker.data_plane import ClosableOutputStream
from pyflink.fn_execution.beam.beam_coders import FlinkCoder
from pyflink.fn_execution.coders import BinaryCoder, FieldCoder, IterableCoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apache_beam.runners.worker.statesampler import StateSampler


def coder(output: FieldCoder | None = None) -> FlinkCoder:
    """Return the coder of a stage's outputs, bytes or these, without a mark at their end, as in a DataStream job."""
    return FlinkCoder(IterableCoder(output or BinaryCoder(), separated_with_end_message=False))


def output_stream(sent: list[bytes]) -> ClosableOutputStream:
    """Return a stream that adds to these what is to be sent; as in Beam, what is empty is not."""
    return ClosableOutputStream.create(None, lambda data: sent.append(data) if data else None, 0)


@contextmanager
def bundle(sampler: StateSampler) -> Iterator[list[threading.Thread]]:
    """Begin a bundle, and end it with the block, which is given the threads that it begins."""
    before = threading.enumerate()
    sampler.reset()
    sampler.start()
    try:
        yield [thread for thread in threading.enumerate() if thread not in before]
    finally:
        sampler.stop()
