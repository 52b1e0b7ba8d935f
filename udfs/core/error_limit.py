"""When refusals are so many that something else must be wrong than single messages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ErrorLimit:
    """The refusals that one subtask of a stage does not put up with: both of these, or more, within the window.

    Attributes:
        share: Of the messages within the window, in 0…1.
        count: Within the window; 0 puts up with any number.
        window_seconds: The length of the window.
    """

    share: float
    count: int
    window_seconds: float


@dataclass(slots=True)
class ErrorWindow:
    """Messages and refusals of the last while, batch by batch. The time is handed in."""

    limit: ErrorLimit
    messages: int = 0
    refused: int = 0
    _batches: deque[tuple[float, int, int]] = field(default_factory=deque)

    def add(self, now: float, messages: int, refused: int) -> bool:
        """Count one batch at this time, in seconds; return whether the limit is exceeded."""
        self._batches.append((now, messages, refused))
        self.messages += messages
        self.refused += refused
        while self._batches[0][0] < now - self.limit.window_seconds:
            _, messages, refused = self._batches.popleft()
            self.messages -= messages
            self.refused -= refused
        too_many = 0 < self.limit.count <= self.refused
        return too_many and self.refused >= self.limit.share * self.messages
