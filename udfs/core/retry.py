"""How long to wait before a request is sent again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter: ``min(cap, first * 2**attempt)``, times a random share between a half and 1.

    The jitter keeps many writers from knocking at a returning server together (Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015: the variant called equal jitter).
    """

    first_seconds: float = 0.1
    cap_seconds: float = 5.0

    def seconds(self, attempt: int, share: float) -> float:
        """Return the wait after failed attempt ``attempt`` (from 0); ``share`` is a random number in 0…1."""
        # 2**attempt leaves the floats behind after a thousand rounds of a long outage.
        longest = min(self.cap_seconds, self.first_seconds * 2.0 ** min(attempt, 32))
        return longest * (0.5 + share / 2)
