"""What is wrong with the settings, as sentences for a person. They name no value of a setting named like a secret."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from job.settings import FIELDS, Settings, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

_LONGEST_SHOWN = 80
_MOST_NAMED = 10
_FLINK_OPTION = re.compile(r"(execution|pipeline|python|state|restart-strategy|table|taskmanager|jobmanager)\.")

# What would break a promise of this job: setting, the value that does (None is any), and why.
_REFUSED = {
    "scan.parallelism": (None, "reading and parsing need the same parallelism, or messages lose their order"),
    "properties.enable.auto.commit": (
        "true",
        "it commits messages that are not in Qdrant yet, and a restart from the group's offsets would skip them",
    ),
    "execution.checkpointing.unaligned.enabled": (
        "true",
        "unaligned checkpoints keep messages in their state, so they complete before everything is in Qdrant",
    ),
    "python.execution-mode": ("thread", "only Python workers in processes of their own end with their TaskManager"),
    "pipeline.operator-chaining.enabled": ("false", "open batches can be handed over inside a chain of operators only"),
    "python.operator-chaining.enabled": ("false", "open batches can be handed over inside a chain of operators only"),
}

# For pydantic's kinds of errors; the names in braces are those of its context.
_REASONS = {
    "int_parsing": "give a whole number",
    "int_parsing_size": "give a smaller number",
    "float_parsing": "give a number",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than_equal": "give {le} at most",
    "less_than": "give less than {lt} bytes",
    "literal_error": "give one of {expected}",
    "string_too_short": "give some text, or leave it out",
    "path_not_file": "there is no such file",
    "value_error": "{error}",
}


class SettingsError(ValueError):
    """The settings are not fit to start a job. `faults` has a sentence for each thing that is wrong."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


@dataclass(frozen=True)
class Given:
    """A setting's value as somebody typed it, and where, unless it was an argument."""

    text: str = field(repr=False)
    place: str = ""


def refusal(name: str, given: Given) -> str | None:
    """Return why this setting must not have this value, if it would break a promise."""
    of_flink = name.removeprefix("flink.")
    if of_flink != name and of_flink in FIELDS:
        return f"{name} is a setting of this job too: write {of_flink}."
    harmful, why = _REFUSED.get(of_flink, ("", ""))
    if why and harmful in (None, given.text.strip().lower()):
        return _sentence(name, given, f"{why}; leave it out")
    return None


def name_of(detail: ErrorDetails) -> str:
    """Return the setting that pydantic speaks of, by the name that users know."""
    # Of a default, pydantic gives the field's name.
    name = str(detail["loc"][0])
    return str(Settings.model_fields[name].alias) if name in Settings.model_fields else name


def fault(detail: ErrorDetails, given: Given | None) -> str:
    """Return what pydantic found, as a sentence."""
    name = name_of(detail)
    if detail["type"] == "extra_forbidden" and given:
        return _unknown(name, given)
    if detail["type"] == "missing":
        return _sentence(name, None, (FIELDS[name].description or "").rstrip("."))
    reason = _REASONS.get(detail["type"])
    return _sentence(name, given, reason.format(**detail.get("ctx", {})) if reason else detail["msg"])


def shown(name: str, text: str) -> str:
    """Return the text as it may appear in a sentence."""
    # A URL may carry a secret before its @ or behind its ?.
    if is_secret(name) or (name.endswith("url") and re.search("[@?]", text)):
        return "***"
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")


def _unknown(name: str, given: Given) -> str:
    nearest = [known for known in FIELDS if known.endswith(f".{name}")]
    nearest += difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.7)
    if name in _REFUSED or (_FLINK_OPTION.match(name) and not nearest):
        advice = f"for an option of Flink write flink.{name}."
    else:
        advice = f"did you mean {nearest[0]}?" if nearest else "--help lists them all."
    return f"{name} is not a setting{given.place}: {advice}"


def _sentence(name: str, given: Given | None, reason: str) -> str:
    if given is None:
        return f"{name} is missing: {reason}."
    return f"{name} is {shown(name, given.text)}{given.place}: {reason}."


def neighbours(name: str, existing: Iterable[str]) -> str:
    """Return the existing names that somebody may have meant, or some of what there is."""
    known = sorted(existing)
    if nearest := difflib.get_close_matches(name, known, n=3):
        return f"did you mean {' or '.join(nearest)}?"
    more = " and more" if len(known) > _MOST_NAMED else ""
    return f"there is {', '.join(known[:_MOST_NAMED]) or 'none'}{more}."
