"""How the text of one setting becomes its value, or a ValueError that says what to write instead. Used by the model."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

from job.durations import read_duration

# Flink's own minimum: CheckpointConfig refuses less.
_SHORTEST_CHECKPOINT_INTERVAL = timedelta(milliseconds=10)
_OFFSET = r"partition:([0-9]+),offset:[0-9]+"


def read_topics(text: str) -> tuple[str, ...]:
    """Return the topics in a text that separates them by comma or semicolon."""
    topics = tuple(topic.strip() for topic in re.split("[,;]", text) if topic.strip())
    for topic in topics:
        check_topic(topic)
    if len(set(topics)) < len(topics):
        raise ValueError("name each topic once")
    return topics


def check_topic(text: str) -> str:
    """Accept the name of a topic."""
    if not re.fullmatch(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}", text):
        raise ValueError("a topic's name has letters, digits, dots, underscores and hyphens, 249 at most")
    return text


def check_pattern(text: str) -> str:
    """Accept a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"give a regular expression; this is none: {error}") from None
    return text


def check_offsets(text: str) -> str:
    """Accept offsets in Flink's spelling, each partition once."""
    if not re.fullmatch(f"{_OFFSET}(;{_OFFSET})*", text):
        raise ValueError("write `partition:0,offset:42;partition:1,offset:300`")
    partitions = [int(partition) for partition in re.findall(_OFFSET, text)]
    if len(set(partitions)) < len(partitions):
        raise ValueError("name each partition once")
    return text


def read_url(text: str) -> str:
    """Return the URL of a gRPC port with its port written out."""
    url = urlsplit(text)
    if "@" in url.netloc:
        raise ValueError("a user name or password has no place in it; the API key is found through qdrant.api.key")
    if url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise ValueError("write http://HOST:PORT, or https://HOST:PORT for TLS; the port is 6334 unless given")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{url.scheme}://{host}:{url.port or 6334}"


def check_key_source(text: str) -> str:
    """Accept the place of a key, and refuse what may be the key itself."""
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+", text):
        raise ValueError(
            "a key written here would be stored in the job graph, for everyone who can see the job; write where the"
            " workers find it: `env:NAME`, an environment variable, or `file:/absolute/path`"
        )
    return text


def check_absolute_path(text: str) -> str:
    """Accept a path that means the same whatever the folder."""
    if not text.startswith("/"):
        raise ValueError("give an absolute path, since workers run in folders of their own")
    return text


def read_checkpoint_interval(text: str) -> timedelta:
    """Return the interval, and refuse what switches checkpoints off."""
    interval = read_duration("0" if text == "disabled" else text)
    if interval < _SHORTEST_CHECKPOINT_INTERVAL:
        raise ValueError(
            "checkpoints cannot be switched off: only when one completes is everything before it known to be in"
            " Qdrant; give 10 ms or more"
        )
    return interval


def check_location(text: str) -> str:
    """Return the URI of a folder that means the same on every machine."""
    if not re.match(r"/|[a-z][a-z0-9+.-]*:/", text):
        raise ValueError("give a URI such as s3://bucket/checkpoints, or an absolute path")
    return f"file://{text}" if text.startswith("/") else text  # Flink takes no path without a scheme
