"""What becomes of refused messages: the end of the job, or dead letters until they are too many."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from udfs.core.dead_letters import DeadLetter, LetterRules, Record, dead_letter
from udfs.core.error_limit import ErrorLimit, ErrorWindow
from udfs.core.failures import MessageRefusedError, TooManyRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from udfs.core.refusals import Refusal

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetterOptions:
    """What the workers need to know to write dead letters.

    Attributes:
        rules: What each of them looks like.
        limit: How many are too many.
    """

    rules: LetterRules
    limit: ErrorLimit


class DeadLetters:
    """Makes the dead letters of one subtask of a stage.

    Args:
        options: How; None where `errors.tolerance` is `none`, and the first refused message ends the job.
        stage: ``parse`` or ``write``.
        clock: Returns seconds that never go back.
    """

    def __init__(
        self, options: DeadLetterOptions | None, stage: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._stage = stage
        self._clock = clock
        self._window = ErrorWindow(options.limit) if options else None
        self._last: MessageRefusedError | None = None
        self._known_codes: set[str] = set()

    def of(self, record: Record, refusal: Refusal, *, is_rendered: bool = False) -> DeadLetter:
        """Return the dead letter of a refused message.

        Raises:
            MessageRefusedError: if there are none.
        """
        self._last = MessageRefusedError(record.origin, refusal)
        if self._options is None:
            raise self._last
        if refusal.code not in self._known_codes:
            self._known_codes.add(refusal.code)
            # Without the reason, which shows a value of the message.
            logger.warning("First dead letter of %s with code %s: %s", self._stage, refusal.code, record.origin)
        return dead_letter(record, refusal, self._stage, self._options.rules, is_rendered=is_rendered)

    def check(self, messages: int, refused: int) -> None:
        """Count one batch.

        Raises:
            TooManyRefusedError: if `errors.limit` is exceeded with it.
        """
        window = self._window
        if window and window.add(self._clock(), messages, refused):
            raise TooManyRefusedError(
                f"{window.refused} of the last {window.messages} messages were refused, and errors.limit is reached:"
                f" something else is wrong than single messages. The last one: {self._last}"
            )
