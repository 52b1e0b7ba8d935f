"""From raw records to operations or refusals: by the rules of a message, then by the collection that it is for.

Knows no Flink, so that the parse stage and the dry run (`job.validate`) judge by the very same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from udfs.core.messages import ParseRules, parse_messages
from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal
from udfs.core.schemas import fault_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Sequence

    from udfs.core.operations import Delete
    from udfs.core.schemas import Schema

    Operation: TypeAlias = Upsert | Delete
    Describe: TypeAlias = Callable[[str], Awaitable[Schema | Refusal]]


class Intake:
    """Judges records, in their order.

    What a collection takes is asked once and remembered; before a message is refused by it, it is asked again, for
    collections change. A collection that cannot be had is asked for again with every batch that names it.

    Args:
        rules: How a message becomes an operation.
        describe: Asks for what a collection takes, or why it takes nothing; None judges by the message alone.
    """

    def __init__(self, rules: ParseRules, describe: Describe | None = None) -> None:
        self._rules = rules
        self._describe = describe
        self._schemas: dict[str, Schema | Refusal] = {}
        self._asked: set[str] = set()  # in this batch

    async def judge(
        self, records: Sequence[tuple[bytes | None, bytes | None]], *, is_continued: bool = False
    ) -> Sequence[Operation | Refusal]:
        """Return for each key and value what the record asks for, or why it is refused.

        Args:
            records: Keys and values, in the order of the messages.
            is_continued: They belong to the batch of those before them, for which nothing is asked twice.
        """
        if not is_continued:
            self._begin()
        outcomes = parse_messages(records, self._rules)
        if self._describe is None:
            return outcomes
        await self._ask(self._describe, outcomes, self._schemas.keys())
        judged = self._judged(outcomes)
        refused = [outcome for outcome, verdict in zip(outcomes, judged, strict=True) if verdict is not outcome]
        if await self._ask(self._describe, refused, self._asked):
            return self._judged(outcomes)
        return judged

    def _begin(self) -> None:
        """Begin a batch, with only what exists: names that are made up would fill the memory."""
        for name in self._asked:
            if isinstance(self._schemas[name], Refusal):
                del self._schemas[name]
        self._asked.clear()

    async def _ask(self, describe: Describe, outcomes: Iterable[Operation | Refusal], but: Container[str]) -> bool:
        """Ask for the collections that these are for, but for those; return whether there was one."""
        named = {outcome.collection for outcome in outcomes if not isinstance(outcome, Refusal)}
        names = [name for name in named if name not in but]
        for name in names:
            # One after another: it is rare, and in an outage each that waits would say so.
            self._schemas[name] = await describe(name)
            self._asked.add(name)
        return bool(names)

    def _judged(self, outcomes: Iterable[Operation | Refusal]) -> list[Operation | Refusal]:
        return [outcome if isinstance(outcome, Refusal) else self._fault(outcome) or outcome for outcome in outcomes]

    def _fault(self, operation: Operation) -> Refusal | None:
        schema = self._schemas[operation.collection]
        if isinstance(schema, Refusal):
            return schema
        return fault_of(operation, schema) if isinstance(operation, Upsert) else None
