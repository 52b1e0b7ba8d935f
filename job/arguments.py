"""From command line and YAML file to settings. All faults of all kinds are reported at once."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from job.faults import Given, SettingsError, fault, name_of, refusal, shown
from job.settings import FIELDS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic.fields import FieldInfo

__all__ = ["SettingsError", "help_text", "load_settings"]

_PROPERTIES = "properties."
_HANDED_ON = (_PROPERTIES, "flink.")  # what follows is not ours to know
_LONGEST_NAME = 200
HEADINGS = {"topics": "Source: Kafka", "qdrant.grpc.url": "Sink: Qdrant", "job.name": "Job: Flink"}


@dataclass
class _Reading:
    """What was read so far, and what is wrong with it."""

    given: dict[str, Given] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    # Settings whose value is at fault already, so that to call them missing would mislead.
    unclear: set[str] = field(default_factory=set)

    def add(self, name: str, given: Given) -> None:
        if name in self.given:
            self.faults.append(f"{name} is given twice{given.place}: give it once.")
        self.given.setdefault(name, given)

    def refuse(self, name: str, what: str) -> None:
        self.faults.append(f"{name} {what}.")
        self.unclear.add(name)


def load_settings(argv: Sequence[str], model: type[Settings] = Settings) -> Settings:
    """Return the settings that the arguments and their `--config` file give; arguments win.

    Args:
        argv: The arguments without the program's name. `--help` prints all settings and leaves with status 0.
        model: What the settings are checked by.

    Raises:
        SettingsError: With every fault there is.
    """
    if {"--help", "-h"} & set(argv):
        print(help_text(shutil.get_terminal_size().columns))  # noqa: T201 - what --help is for
        raise SystemExit(0)
    reading = _read_arguments(argv)
    if config := reading.given.pop("config", None):
        _add_file(reading, config.text)
    settings = _check(reading, model)
    if settings is None or reading.faults:
        raise SettingsError(tuple(reading.faults))
    return settings


def help_text(width: int, fields: Mapping[str, FieldInfo] = FIELDS) -> str:
    """Return every setting, or these, with its meaning and its default."""
    # A name must not be torn at its hyphens.
    wrapper = textwrap.TextWrapper(min(width, 100), " " * 6, " " * 6, break_on_hyphens=False, break_long_words=False)
    lines = ["Give settings as `--name value`, or in a YAML file by `--config job.yaml`. Arguments win over the file."]
    for name, info in fields.items():
        lines += ["", HEADINGS[name]] if name in HEADINGS else []
        default = "required" if info.is_required() else f"default: {info.default}" if info.default else "optional"
        lines += [f"  --{name}  ({default})", *wrapper.wrap(info.description or "")]
    return "\n".join(lines)


def _check(reading: _Reading, model: type[Settings]) -> Settings | None:
    refused = {name: said for name, given in reading.given.items() if (said := refusal(name, given))}
    reading.faults += refused.values()
    given = {name: given for name, given in reading.given.items() if name not in refused}
    try:
        return model.model_validate(_by_field(given))
    except ValidationError as error:
        # Its details only: the error itself, as a cause, would show values, secret ones too.
        details = error.errors(include_url=False, include_input=False)
    clear = [detail for detail in details if name_of(detail) not in reading.unclear]
    reading.faults += [fault(detail, given.get(name_of(detail))) for detail in clear]
    return None


def _by_field(given: dict[str, Given]) -> dict[str, Any]:
    texts: dict[str, Any] = {name: value.text for name, value in given.items()}
    for prefix in _HANDED_ON:
        others = [name for name in texts if name.startswith(prefix) and name not in FIELDS]
        texts[f"{prefix}*"] = {name.removeprefix(prefix): texts.pop(name) for name in others}
    return texts


def _read_arguments(argv: Sequence[str]) -> _Reading:
    reading, words, name = _Reading(), deque(argv), ""
    while words:
        word = words.popleft()
        if not re.match("--[^=]", word):
            reading.faults.append(f"{shown(name, word)} belongs to no setting: write --name value, or --name=value.")
            continue
        name, equals, text = word[2:].partition("=")
        if equals:
            reading.add(name, Given(text))
        elif words and not words[0].startswith("--"):
            reading.add(name, Given(words.popleft()))
        else:
            reading.refuse(name, "is given without a value: write --name value")
    return reading


def _add_file(reading: _Reading, path: str) -> None:
    """Add what the file says and the arguments do not."""
    in_file = _Reading()
    try:
        # The nodes, not the objects that `safe_load` makes of them: a value stays as it was typed (`no`, `010`, a
        # date), a repeated name is noticed, and a fault has a line.
        root = yaml.compose(Path(path).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if root is not None:
            _flatten(root, "", Path(path).name, in_file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        in_file.faults.append(f"config is {path!r}: {_why(error)}.")
        in_file.unclear |= FIELDS.keys()
    reading.faults += in_file.faults
    reading.unclear |= in_file.unclear - reading.given.keys()
    reading.given = {**in_file.given, **reading.given}


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        # Without the text and the names it quotes, which may be of a secret.
        problem = re.sub(r"['\"].*['\"]", "…", error.problem or "it is not YAML")
        return f"{problem} in line {error.problem_mark.line + 1}"
    return "it is not YAML in UTF-8"


def _flatten(node: yaml.Node, name: str, file: str, into: _Reading) -> None:
    """Gather the settings below a node under dotted names."""
    place = f" ({file}, line {node.start_mark.line + 1})"
    if isinstance(node, yaml.MappingNode) and len(name) < _LONGEST_NAME:  # an alias may name what it stands in
        for key, value in node.value:
            part = key.value if isinstance(key, yaml.ScalarNode) else "?"
            _flatten(value, f"{name}.{part}" if name else part, file, into)
    elif not name:
        into.faults.append(f"config is {file!r}: write lines such as `topics: docs`.")
    elif isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
        into.add(name, Given(node.value, place))
    elif isinstance(node, yaml.SequenceNode) and (name == "topics" or name.startswith(_PROPERTIES)):
        into.add(name, Given(",".join(str(item.value) for item in node.value), place))
    else:
        into.refuse(name, f"is given without a value{place}: write a single one, or leave the line out")
