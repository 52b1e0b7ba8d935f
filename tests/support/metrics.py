"""Flink's metrics, where there is no Flink."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Metrics:
    """A group of metrics as Flink has them, with everything that is registered in it by its full name."""

    def __init__(self, name: str = "", gauges: dict[str, Callable[[], int]] | None = None) -> None:
        self._name = name
        self.gauges = {} if gauges is None else gauges

    def add_group(self, name: str, value: str = "") -> Metrics:
        """Return a group inside this one, or one of a name and a value."""
        return Metrics(f"{self._name}{name}.{value and f'{value}.'}", self.gauges)

    def gauge(self, name: str, read: Callable[[], int]) -> None:
        """Register a gauge, which Flink reads whenever it likes."""
        self.gauges[self._name + name] = read
