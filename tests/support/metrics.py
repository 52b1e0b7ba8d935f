"""Flink's metrics, and what it tells its functions, where there is no Flink."""

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


class Context:
    """What PyFlink tells a function of its subtask, as far as this job asks.

    Args:
        metrics: None where Python metrics are off.
        subtasks: The parallelism.
        key_groups: The max parallelism.
    """

    def __init__(self, metrics: Metrics | None = None, subtasks: int = 1, key_groups: int = 128) -> None:
        self._metrics, self._subtasks, self._key_groups = metrics, subtasks, key_groups

    def get_metrics_group(self) -> Metrics | None:
        """Return where metrics are registered."""
        return self._metrics

    def get_number_of_parallel_subtasks(self) -> int:
        """Return the parallelism."""
        return self._subtasks

    def get_max_number_of_parallel_subtasks(self) -> int:
        """Return the max parallelism."""
        return self._key_groups
