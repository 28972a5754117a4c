"""Files of recorded messages: plain or gzip, ns or µs, one row a line, and clear errors."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest

from order_book_platform.errors import SourceValueError
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.sources.binance.market import COINM, USDM
from order_book_platform.sources.binance.raw_log_decoder import RawLogDecoder
from order_book_platform.sources.binance.recording_import import Recording, import_recording
from order_book_platform.storage import LogReader
from order_book_platform_tests.sources.binance.raw_rows import depth
from order_book_platform_tests.sources.binance.test_raw_log_decoder import ticker, trade

INSTRUMENT = Instrument.parse("BINANCE_FUTURES:BTC-USDT-PERP")
LINES = [
    (2_000_000, depth(1, 10, 0, [["1.50", "0.25"]])),
    (1_000_000, {"lastUpdateId": 10, "bids": [["1.50", "0.25"]], "asks": [["2.00", "1"]]}),
    (3_000_000, {"stream": "btcusdt@bookTicker", "data": ticker(11)}),
    (4_000_000, trade(1)),
]


def content(unit_ns: int = 1) -> bytes:
    """The lines with their arrivals in some unit."""
    return b"".join(
        f"{time // unit_ns} ".encode() + json.dumps(each).encode() + b"\n" for time, each in LINES
    )


@pytest.mark.parametrize(("packed", "unit"), [(False, "ns"), (True, "ns"), (False, "us"), (True, "us")])
def test_lines_become_rows(tmp_path: Path, packed: bool, unit: str) -> None:
    """Rules, connection, messages and response as a capture would have them; the bytes are those of the file."""
    file = tmp_path / "recording"
    raw = content(1_000 if unit == "us" else 1)
    file.write_bytes(gzip.compress(raw) if packed else raw)
    recording = Recording(USDM, INSTRUMENT, [file], unit)
    point = recording.increments()
    assert point == FixedPoint(8, 8, 10**7, 25 * 10**6)
    assert import_recording(recording, tmp_path / "raw", point.tick, point.lot) == 7
    (rows,) = LogReader(tmp_path / "raw").read()
    found = rows.batch.to_pylist()
    assert [row["kind"] for row in found] == [
        "rules",
        "connect",
        "message",
        "rest",
        "message",
        "message",
        "close",
    ]
    assert [row["received_time"] for row in found[2:6]] == [time for time, _ in LINES]
    assert [row["monotonic_time"] for row in found[2:6]] == [2_000_000, 2_000_000, 3_000_000, 4_000_000]
    assert [row["payload"] for row in found[2:6]] == [json.dumps(each).encode() for _, each in LINES]
    decoder = RawLogDecoder(USDM)
    (part,) = decoder.feed(rows.batch, 0)
    assert part.numbering.instrument == INSTRUMENT
    assert part.numbering.point == point
    assert [len(getattr(part, name)) for name in ("deltas", "snapshots", "tickers", "trades")] == [1, 1, 1, 1]
    assert decoder.counts["refused"] == 0


def test_what_shows_no_prices_is_refused(tmp_path: Path) -> None:
    """Another market's messages have no prices of the symbol."""
    (tmp_path / "recording").write_bytes(content())
    recording = Recording(COINM, Instrument.parse("BINANCE_DELIVERY:BTC-USD-PERP"), [tmp_path / "recording"])
    with pytest.raises(SourceValueError, match="BTCUSD_PERP"):
        recording.increments()


def test_a_log_with_rows_is_left_alone(tmp_path: Path) -> None:
    """A second import into the same log is refused before anything is written."""
    (tmp_path / "recording").write_bytes(content())
    recording = Recording(USDM, INSTRUMENT, [tmp_path / "recording"])
    import_recording(recording, tmp_path / "raw", Decimal("0.1"), Decimal("0.001"))
    with pytest.raises(SourceValueError, match="7 rows"):
        import_recording(recording, tmp_path / "raw", Decimal("0.1"), Decimal("0.001"))
    assert LogReader(tmp_path / "raw").next_row() == 7
