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

    async def judge(self, records: Sequence[tuple[bytes | None, bytes | None]]) -> Sequence[Operation | Refusal]:
        """Return for each key and value what the record asks for, or why it is refused."""
        outcomes = parse_messages(records, self._rules)
        if self._describe is None:
            return outcomes
        asked = await self._ask(self._describe, outcomes, self._schemas.keys())
        judged = self._judged(outcomes)
        refused = [outcome for outcome, verdict in zip(outcomes, judged, strict=True) if verdict is not outcome]
        asked_again = await self._ask(self._describe, refused, asked)
        if asked_again:
            judged = self._judged(outcomes)
        self._forget_refused(asked | asked_again)
        return judged

    async def _ask(self, describe: Describe, outcomes: Iterable[Operation | Refusal], but: Container[str]) -> set[str]:
        """Ask for the collections that these are for, but for those; return which they were."""
        named = {outcome.collection for outcome in outcomes if not isinstance(outcome, Refusal)}
        names = [name for name in named if name not in but]
        for name in names:
            # One after another: it is rare, and in an outage each that waits would say so.
            self._schemas[name] = await describe(name)
        return set(names)

    def _judged(self, outcomes: Iterable[Operation | Refusal]) -> list[Operation | Refusal]:
        return [outcome if isinstance(outcome, Refusal) else self._fault(outcome) or outcome for outcome in outcomes]

    def _fault(self, operation: Operation) -> Refusal | None:
        schema = self._schemas[operation.collection]
        if isinstance(schema, Refusal):
            return schema
        return fault_of(operation, schema) if isinstance(operation, Upsert) else None

    def _forget_refused(self, asked: Iterable[str]) -> None:
        """Keep only what exists: names that are made up would fill the memory."""
        for name in asked:
            if isinstance(self._schemas[name], Refusal):
                del self._schemas[name]
