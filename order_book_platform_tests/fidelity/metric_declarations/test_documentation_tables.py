"""The tables of the format document: they are those that the declarations give."""

from __future__ import annotations

import pytest

from order_book_platform.datasets.fidelity_report import METRICS_SCHEMA
from order_book_platform.fidelity.metric_declarations import DECLARATIONS
from order_book_platform.fidelity.metric_declarations.documentation_tables import (
    BEGIN,
    DOCUMENT,
    END,
    rewritten,
    tables,
)


def test_the_format_document_is_up_to_date() -> None:
    """Run `python -m order_book_platform.fidelity.metric_declarations.documentation_tables` where this fails."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert rewritten(text) == text


def test_every_metric_has_a_row_in_both_tables() -> None:
    """The first name of each family begins a row; every row has as many cells as its head."""
    rows = [line for line in tables().splitlines() if line.startswith("| ")]
    for declaration in DECLARATIONS:
        named = [
            row
            for row in rows
            if row.startswith((f"| {declaration.names[0]} ", f"| {declaration.names[0]},"))
        ]
        assert [row.count("|") for row in named] == [10, 4], declaration.name


def test_the_document_names_every_column() -> None:
    """Each column of metrics.parquet has a row in the table of columns."""
    lines = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    for column in METRICS_SCHEMA.names:
        assert any(column in line.split("|")[1].replace(",", " ").split() for line in lines), column


def test_only_what_stands_between_the_marks_is_rewritten() -> None:
    """The rest stays, and a document without marks is refused."""
    assert rewritten(f"a\n{BEGIN}\nold\n{END}\nz\n") == f"a\n{BEGIN}\n{tables()}\n{END}\nz\n"
    with pytest.raises(ValueError, match="unpack"):
        rewritten("no marks")
