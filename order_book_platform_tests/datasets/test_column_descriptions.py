"""Descriptions of columns: complete, one a column, and the documents agree with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.column_descriptions import column_description
from order_book_platform.datasets.frame_schemas import (
    FINDINGS_SCHEMA,
    GAPS_SCHEMA,
    METRICS_SCHEMA,
    features_schema,
)
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.reconstructed_books.schema import (
    CLOSING_STATE_SCHEMA,
    USED_SNAPSHOTS_SCHEMA,
    books_schema,
)
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TRADES_SCHEMA
from order_book_platform.model.pip_encoding import Precision, in_precision

FEATURES = features_schema((1, 5), 2, (NS_PER_SECOND, 10 * NS_PER_SECOND))
SCHEMAS = {
    "raw_deltas": RAW_DELTAS_SCHEMA,
    "snapshots": SNAPSHOTS_SCHEMA,
    "tickers": TICKERS_SCHEMA,
    "trades": TRADES_SCHEMA,
    "gaps": GAPS_SCHEMA,
    "findings": FINDINGS_SCHEMA,
    "books": books_schema(2),
    "closing_state": CLOSING_STATE_SCHEMA,
    "used_snapshots": USED_SNAPSHOTS_SCHEMA,
    "metrics": METRICS_SCHEMA,
    "features": FEATURES,
}
FORMATS = Path(__file__).parents[2] / "docs" / "formats"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
@pytest.mark.parametrize("precision", ["int64", "decimal128"])
def test_every_column_has_a_sentence(name: str, precision: Precision) -> None:
    """Every column of every dataset, of pips and of decimals, is described in one sentence."""
    for column in in_precision(SCHEMAS[name], precision).names:
        text = column_description(column)
        assert text, column
        assert text[0].isupper() or text[0] == "`", column
        assert text.endswith("."), column


def test_columns_that_come_in_several_say_which_one() -> None:
    """Levels, windows and units of a family of columns come from the name."""
    assert column_description("bid_0_price_pips") == (
        "Best bid price · 10^price_decimals; null where there is no such level."
    )
    assert column_description("ask_3_size") == "Level 3 ask size; null where there is no such level."
    assert column_description("ask_size_pips") == (
        "Best ask size · 10^size_decimals; of a snapshot a list, best level first."
    )
    assert column_description("rv_60s") == (
        "Realised volatility over the last 60s, from one-second returns, in bps."
    )


@pytest.mark.parametrize("name", ["", "price_pip", "bid_x_price", "qi_", "qi_1x", "ret_1"])
def test_unknown_names_have_none(name: str) -> None:
    """A name that no dataset has is not described by chance."""
    assert column_description(name) is None


def test_the_document_of_features_lists_these_columns_in_their_order() -> None:
    """docs/formats/rl_features.md has a row for each column, or family of columns, with its dtype."""
    text = (FORMATS / "rl_features.md").read_text(encoding="utf-8").split("## Columns")[1].split("###")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    documented = {row[0]: row[-2] for row in rows}
    families = {"qi_k": r"qi_\d+", "mlofi_m": r"mlofi_\d+", "ret_h": r"ret_\d+s", "rv_h": r"rv_\d+s"}
    found: dict[str, str] = {}
    for field in FEATURES:
        family = [name for name, pattern in families.items() if re.fullmatch(pattern, field.name)]
        found[family[0] if family else field.name] = {"float": "float32"}.get(
            str(field.type), str(field.type)
        )
    assert documented == found
    assert list(documented) == list(found)
