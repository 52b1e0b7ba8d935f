"""The commands that the project's pages show, as they are written there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from textwrap import dedent

from scripts.stack.processes import ROOT

README, FLINK_CONF, CONFLUENT = "README.md", "flink-conf/README.md", "flink-conf/confluent/README.md"
PAGES = (README, FLINK_CONF, CONFLUENT)

# Fences hold YAML and what programs print; commands stand indented.
_FENCED = re.compile(r"^( *)```(?:text|yaml)\n.*?^\1```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n+)+")
# What stands indented as well, by its first words: a drawing, JSON, properties and lines of JAAS.
_NO_COMMANDS = re.compile(r'Kafka ─|\{"|[a-z]+(\.[a-z]+)+: |org\.apache\.')


@dataclass(frozen=True)
class Block:
    """Commands that stand together.

    Attributes:
        section: The heading above them.
        text: All of them, with their comments.
    """

    section: str
    text: str

    def commands(self) -> list[str]:
        """Return each command as it is written, on several lines maybe, without the comments between them."""
        found, begun = [], ""
        for line in self.text.splitlines(keepends=True):
            begun += "" if line.startswith("#") else line
            if begun.strip() and _is_whole(begun):
                found.append(begun.strip())
                begun = ""
        assert not begun.strip(), begun
        return found


def blocks(page: str) -> list[Block]:
    """Return the page's blocks of commands."""
    text = _FENCED.sub("", (ROOT / page).read_text())
    assert "```" not in text, f"A fence in {page} is neither text nor yaml; commands are indented by four spaces."
    found = []
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE):
        heading = section.partition("\n")[0]
        found += [Block(heading, dedent(block)) for block in _INDENTED.findall(section)]
    return [block for block in found if not _NO_COMMANDS.match(block.text)]


def commands(page: str, section: str = "") -> list[str]:
    """Return the commands of the page, or of that section."""
    return [command for block in blocks(page) if section in ("", block.section) for command in block.commands()]


def command(page: str, section: str, start: str) -> str:
    """Return the one command of the section that starts so."""
    found = [command for command in commands(page, section) if command.startswith(start)]
    assert len(found) == 1, found
    return found[0]


def section(page: str, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    return (ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def mentioned(page: str) -> list[str]:
    """Return the commands of the project's own scripts that the page's prose and tables mention."""
    return re.findall(r"`((?:\./scripts/\w+|\.venv/bin/python)[^`]*)`", (ROOT / page).read_text())


def replaced(text: str, table: dict[str, str]) -> str:
    """Return the text with the table's values in place of its examples."""
    for example, real in table.items():
        text = text.replace(example, real)
    return text


def _is_whole(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:  # a quotation goes on
        return False
    return not text.endswith("\\\n")
