"""All schemas: units have their types, and the format documents name every column with its dtype."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.datasets.frame_schemas import FINDINGS_SCHEMA, GAPS_SCHEMA, METRICS_SCHEMA
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA
from order_book_platform_tests.all_schemas import ALL_SCHEMAS

TEXT = (Path(__file__).parents[2] / "docs/formats/datasets.md").read_text(encoding="utf-8")
SCHEMAS = {
    "raw_deltas": RAW_DELTAS_SCHEMA,
    "snapshots": SNAPSHOTS_SCHEMA,
    "tickers": TICKERS_SCHEMA,
    "sequence_gap_report": GAPS_SCHEMA,
    "reconstructed_books": books_schema(),
    "fidelity_report": METRICS_SCHEMA,
}


def section(dataset: str) -> str:
    """What the document says of one dataset."""
    found = re.search(rf"^## [^\n]*\b{dataset}\b.*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, dataset
    return found[0]


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_column_is_documented(dataset: str) -> None:
    """No column without a word about it; levels by their pattern."""
    text = section(dataset)
    for field in SCHEMAS[dataset]:
        if re.fullmatch(r"(bid|ask)_\d+_(price|size)_pips", field.name):
            continue
        assert re.search(rf"\b{field.name}\b", text), field.name


def test_nullable_columns_say_so() -> None:
    """A reader has to know where nulls may come."""
    text = section("sequence_gap_report") + section("raw_deltas")
    for field in (*GAPS_SCHEMA, *RAW_DELTAS_SCHEMA):
        if field.nullable and field.type == pa.int64():
            assert re.search(rf"\| {field.name} \| int64, null \|", text), field.name


def test_findings_of_a_live_tail_are_documented() -> None:
    """Every column with its dtype, nullable ones as such."""
    text = (Path(__file__).parents[2] / "docs/formats/live.md").read_text(encoding="utf-8")
    for field in FINDINGS_SCHEMA:
        null = ", null" if field.nullable else ""
        assert re.search(rf"\| [\w, ]*\b{field.name}\b[\w, ]* \| {field.type}{null} \|", text), field.name


@pytest.mark.parametrize("name", sorted(ALL_SCHEMAS))
def test_units_have_their_types(name: str) -> None:
    """Pips, times and ids are int64 wherever they stand; lists hold pips that are never null."""
    for field in ALL_SCHEMAS[name]:
        kind = field.type
        if pa.types.is_list(kind):
            assert field.name.endswith("_pips")
            assert not kind.value_field.nullable
            kind = kind.value_type
        if field.name.endswith(("_pips", "_time", "_id", "_number")):
            assert kind == pa.int64(), field.name
