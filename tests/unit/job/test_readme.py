"""What README says of the settings is what the code says."""

from __future__ import annotations

from pathlib import Path

from job.arguments import HEADINGS
from job.settings import FIELDS

README = Path(__file__).parents[3] / "README.md"
BEGIN, END = "<!-- begin of the settings, kept by test_readme.py -->\n", "<!-- end of the settings -->"


def settings_tables() -> str:
    """Return every setting with its default and meaning, in Markdown."""
    lines: list[str] = []
    for name, info in FIELDS.items():
        if name in HEADINGS:
            lines += ["", f"**{HEADINGS[name]}**", "", "| setting | default | meaning |", "|---|---|---|"]
        default = "required" if info.is_required() else f"`{info.default}`" if info.default else ""
        lines.append(f"| `{name}` | {default} | {(info.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, "", ""])


def test_readme_lists_every_setting() -> None:
    """README has the tables of settings; if one has changed, put there what `settings_tables()` returns."""
    _, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    written, end, _ = rest.partition(END)
    assert begin
    assert end
    assert written == settings_tables()
