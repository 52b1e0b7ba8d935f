"""Rules on several settings at once. Each stands at the last of its settings and looks at those before it.

In `info.data` pydantic leaves out what is at fault in itself, and a rule that misses one of its settings says nothing.
So one validation finds every fault, and none hides or causes another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import AfterValidator

if TYPE_CHECKING:
    from datetime import timedelta

    from pydantic import ValidationInfo


def one_of_topics_and_pattern(pattern: str | None, info: ValidationInfo) -> str | None:
    """Accept topics or a pattern, neither none nor both."""
    topics = info.data.get("topics")
    if topics == () and pattern is None:
        raise ValueError("give topics or topic-pattern, so that there is something to read")
    if topics and pattern is not None:
        raise ValueError("topics is given too; give one of the two")
    return pattern


def needed_by(setting: str, choice: str) -> AfterValidator:
    """Accept a value exactly where another setting's choice asks for one."""

    def check(value: object, info: ValidationInfo) -> object:
        _raise_if_any(_choice_fault(setting, choice, value, info))
        return value

    return AfterValidator(check)


def offsets_needed_by(setting: str) -> AfterValidator:
    """Accept offsets exactly where another setting asks for them, and where it is clear whose they are."""

    def check(offsets: str | None, info: ValidationInfo) -> str | None:
        choice = _choice_fault(setting, "specific-offsets", offsets, info)
        # Flink's connector has specific offsets for a single topic only.
        is_wanted = offsets is not None or info.data.get(setting.replace(".", "_")) == "specific-offsets"
        is_ambiguous = "topics" in info.data and len(info.data["topics"]) != 1
        topic = (
            "offsets belong to a single topic, so give exactly one in topics" if is_wanted and is_ambiguous else None
        )
        _raise_if_any(choice, topic)
        return offsets

    return AfterValidator(check)


def _choice_fault(setting: str, choice: str, value: object, info: ValidationInfo) -> str | None:
    chosen = info.data.get(setting.replace(".", "_"))
    if chosen == choice and value is None:
        return f"{setting}={choice} needs it"
    if chosen not in (None, choice) and value is not None:
        return f"it counts for {setting}={choice} only, which is {chosen} now"
    return None


def _raise_if_any(*faults: str | None) -> None:
    if any(faults):
        raise ValueError("; ".join(fault for fault in faults if fault))


def of_use_with_tls(file: str, info: ValidationInfo) -> str:
    """Accept certificates to trust where there will be some to check."""
    url = info.data.get("qdrant_grpc_url")
    if url is not None and not url.startswith("https:"):
        raise ValueError(f"it counts for TLS only; write https:// in qdrant.grpc.url, which is {url} now")
    return file


def not_read(topic: str | None, info: ValidationInfo) -> str | None:
    """Accept a topic for dead letters that is not read itself."""
    topics, pattern = info.data.get("topics") or (), info.data.get("topic_pattern")
    if topic is not None and (topic in topics or (pattern and re.fullmatch(pattern, topic))):
        raise ValueError("this topic is read, so its dead letters would come back for ever; give another one")
    return topic


def not_before_startup(end: int | None, info: ValidationInfo) -> int | None:
    """Accept an end that is not before the start."""
    start = info.data.get("scan_startup_timestamp_millis")
    if start is not None and end is not None and end < start:
        raise ValueError(f"it is before scan.startup.timestamp-millis, {start}, so nothing would be read")
    return end


def not_shorter_than_a_request(longest: timedelta | None, info: ValidationInfo) -> timedelta | None:
    """Accept a time that leaves room for at least one request."""
    request = info.data.get("sink_request_timeout")
    if longest is not None and request is not None and longest < request:
        raise ValueError(f"one request alone may take sink.request.timeout, {request.total_seconds():g} s; give more")
    return longest
