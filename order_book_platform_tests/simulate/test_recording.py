"""Reading a recording: integer units, distances and previous sizes against a plain loop."""

from __future__ import annotations

from pathlib import Path

from order_book_platform.simulate import MarketSimulator
from order_book_platform.simulate.recording import read_recording
from order_book_platform_tests.simulate.small import KEY, read, small_profile


def test_changes_know_what_was_there_before(tmp_path: Path) -> None:
    """Ticks, lots, distance from the best price after the message, and the size before, as a plain loop finds them."""
    MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 60)
    recording = read_recording(tmp_path, tmp_path / "truth", KEY, 2, 3)
    tickers = read(tmp_path, "truth/book_ticker")
    before: dict[tuple[bool, int], int] = {}
    expected = []
    deltas = read(tmp_path, "book_delta_v2").select("sequence_number", "side_is_bid", "price", "size")
    for sequence, is_bid, price, size in deltas.iter_rows():
        ticker = tickers.row(int((tickers["update_id"] <= sequence).sum()) - 1, named=True)
        tick, lots = round(price * 100), round(size * 1000)
        best = round(ticker["bid_price" if is_bid else "ask_price"] * 100)
        distance = best - tick if is_bid else tick - best
        expected.append((sequence, tick, lots, is_bid, distance, before.get((is_bid, tick))))
        before[is_bid, tick] = lots
    assert recording.rows.rows() == expected
    assert recording.messages["rows"].sum() == len(expected)
    assert recording.messages.height == recording.chain.height == 60
    assert recording.trade_lots.tolist() == [
        round(each * 1000) for each in read(tmp_path, "trades")["amount"]
    ]
