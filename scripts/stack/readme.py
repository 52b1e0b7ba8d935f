"""Keeps the tables of README that are made from code: `python -m scripts.stack.readme` writes them anew."""

from __future__ import annotations

from job.arguments import HEADINGS
from job.settings import FIELDS
from scripts.stack.processes import ROOT
from udfs.core.refusals import CODES, FIXES, SAID_BY

README = ROOT / "README.md"
_SPEAKERS = {
    "parse": "Known from the message alone:",
    "collection": "Known from the collection's description, before sending:",
    "qdrant": "Known only to Qdrant:",
}


def settings_tables() -> str:
    """Return every setting with its default and meaning, in Markdown."""
    lines: list[str] = []
    for name, info in FIELDS.items():
        if name in HEADINGS:
            lines += ["", f"**{HEADINGS[name]}**", "", "| setting | default | meaning |", "|---|---|---|"]
        default = "required" if info.is_required() else f"`{info.default}`" if info.default else ""
        lines.append(f"| `{name}` | {default} | {info.description} |")
    return "\n".join(lines)


def code_tables() -> str:
    """Return every code of a refusal with its meaning and what to do about it, in Markdown."""
    lines: list[str] = []
    for speaker, heading in _SPEAKERS.items():
        lines += ["", heading, "", "| code | what is wrong | how to fix it |", "|---|---|---|"]
        lines += [f"| `{code}` | {CODES[code]} | {FIXES[code]} |" for code in CODES if SAID_BY[code] == speaker]
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Return README's text with its tables as the code has them now.

    Raises:
        ValueError: if a table has lost the marks around it.
    """
    for name, table in {"settings": settings_tables(), "codes": code_tables()}.items():
        begin, end = f"<!-- begin of the {name}: python -m scripts.stack.readme -->", f"<!-- end of the {name} -->"
        before, found, rest = text.partition(begin)
        _, found_too, after = rest.partition(end)
        if not (found and found_too):
            raise ValueError(f"README has lost {begin} or {end}.")
        text = f"{before}{begin}\n{table}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
