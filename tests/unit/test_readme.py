"""What README says of settings and codes is what the code says."""

from __future__ import annotations

import pytest

from scripts.stack.readme import README, with_tables


def test_the_tables_of_readme_are_those_of_the_code() -> None:
    """If one has changed, `python -m scripts.stack.readme` puts it right."""
    text = README.read_text(encoding="utf-8")
    assert text == with_tables(text)


def test_a_table_that_is_out_of_date_is_put_right() -> None:
    """Whatever stands between the marks is replaced, and nothing else."""
    text = README.read_text(encoding="utf-8")
    assert with_tables(text.replace("| `job.name` |", "| `job` |").replace("`id-uuid`", "`uuid`")) == text


def test_lost_marks_are_noticed() -> None:
    """A table that cannot be found is not left to grow old."""
    with pytest.raises(ValueError, match="README has lost <!-- begin of the settings"):
        with_tables(README.read_text(encoding="utf-8").replace("<!-- end of the settings -->", ""))
