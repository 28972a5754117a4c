"""Symbol keys and partition keys: what they accept, and where a partition lies."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import SettingsError
from order_book_platform.model import Instrument, PartitionKey

RESERVED = "|,[]/\\:*? \t\n\x00\x7f"
EXCHANGES = st.text("ABCXYZ019_", min_size=1, max_size=12)
SYMBOLS = st.text(
    st.characters(exclude_categories=["Z", "C"], exclude_characters=RESERVED), min_size=1, max_size=60
)


@given(EXCHANGES, SYMBOLS, st.dates())
def test_keys_read_back(exchange: str, symbol: str, day: date) -> None:
    """A key's text gives the key, also for symbols in other scripts."""
    key = PartitionKey.parse(f"{exchange}:{symbol}", day.isoformat())
    assert key == PartitionKey(Instrument(exchange, symbol), day)
    assert Instrument.parse(key.instrument.key) == key.instrument
    assert str(key) == f"{exchange}:{symbol} {day.isoformat()}"


def test_path() -> None:
    """Where the partition lies below a table or a dataset, in Crypto Lake's layout."""
    key = PartitionKey.parse("BINANCE_FUTURES:币安人生-USDT-PERP", "2024-08-08")
    assert key.path == "exchange=BINANCE_FUTURES/symbol=币安人生-USDT-PERP/dt=2024-08-08"


@pytest.mark.parametrize("character", RESERVED)
def test_reserved_characters_are_refused(character: str) -> None:
    """Characters that Dagster's keys, folders or globs give a meaning to."""
    for key in (
        f"BINANCE:BTC{character}USDT",
        f"BINANCE:BTC-USDT{character}",
        f"BINANCE{character}:BTC-USDT",
    ):
        with pytest.raises(
            SettingsError, match=r"^symbol: expected EXCHANGE:SYMBOL, the exchange in capitals, "
        ):
            Instrument.parse(key)


@pytest.mark.parametrize(
    "key", ["", ":", "BINANCE:", ":BTC-USDT", "binance:BTC-USDT", "BINANCE", "A:" + "x" * 201]
)
def test_other_forms_are_refused(key: str) -> None:
    """Both parts are needed, the exchange in upper case, the symbol short enough for a folder."""
    with pytest.raises(SettingsError) as caught:
        Instrument.parse(key)
    assert caught.value.found == repr(key)
    assert caught.value.remedy == "Write it as in BINANCE_FUTURES:BTC-USDT-PERP."


def test_keys_sort_by_instrument_then_day() -> None:
    """Listings come in the order that people expect."""
    keys = [
        PartitionKey.parse(symbol, day)
        for symbol in ("BINANCE:BTC-USDT", "BINANCE:ETH-USDT")
        for day in ("2024-08-08", "2024-08-09")
    ]
    shuffled = [keys[2], keys[0], keys[3], keys[1]]
    assert sorted(shuffled) == keys
