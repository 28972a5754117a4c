"""Recordings as feeds: lines, the snapshot, increments, and files that are none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from order_book_platform.errors import SourceCorruptError, SourceEmptyError, SourceValueError
from order_book_platform.exchange import RecordedFeed, venue
from order_book_platform.exchange.feeds.recorded_feed import increment, split_symbol
from order_book_platform.exchange.protocol.venue import StreamKind

DEPTH = (
    '{"stream":"btcusd_perp@depth@0ms","data":{"e":"depthUpdate","E":17,"T":16,"s":"BTCUSD_PERP","ps":"BTCUSD",'
    '"U":5,"u":7,"pu":3,"b":[["10.5","4"]],"a":[["10.6","0"]]}}'
)
SNAPSHOT = (
    '{"lastUpdateId":4,"E":15,"T":14,"symbol":"BTCUSD_PERP","bids":[["10.50","30"]],"asks":[["10.60","20"]]}'
)
TICKER = (
    '{"stream":"btcusd_perp@bookTicker","data":{"u":6,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD",'
    '"b":"10.5","B":"4","a":"10.6","A":"1","T":17,"E":18}}'
)
OTHER = '{"stream":"btcusd_perp@aggTrade","data":{"e":"aggTrade","s":"BTCUSD_PERP"}}'


def written(path: Path, *lines: str) -> Path:
    """A recording whose lines are a millisecond apart."""
    text = "".join(f"{1_000_000_000 + number * 1_000_000} {line}\n" for number, line in enumerate(lines))
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.gz", "a.ndjson"])
def test_lines_become_events(tmp_path: Path, name: str) -> None:
    """Each message has its ids and times, and the snapshot its place; streams without data are left out."""
    path = written(tmp_path / name, DEPTH, SNAPSHOT, OTHER, TICKER)
    feed = RecordedFeed((path,), venue("coinm"))
    events = list(feed.events(0))
    assert [(event.kind, event.due_ns) for event in events] == [
        (StreamKind.DEPTH, 0),
        (None, 1_000_000),
        (StreamKind.TICKER, 3_000_000),
    ]
    depth = events[0]
    assert (depth.first_update_id, depth.final_update_id, depth.prev_final_update_id) == (5, 7, 3)
    assert (depth.event_ms, depth.transaction_ms, depth.symbol) == (17, 16, "BTCUSD_PERP")
    assert (feed.seed.last_update_id, feed.seed.bids) == (4, [["10.50", "30"]])


def test_futures_get_the_keys_of_today(tmp_path: Path) -> None:
    """`st` and `ps` are added once; to the byte as recorded where that is ordered."""
    path = written(tmp_path / "a", DEPTH, SNAPSHOT)
    today = next(RecordedFeed((path,), venue("coinm")).events(0))
    recorded = next(RecordedFeed((path,), venue("coinm"), today=False).events(0))
    assert recorded.payload == json.dumps(json.loads(DEPTH)["data"], separators=(",", ":")).encode()
    assert json.loads(today.payload) == {**json.loads(recorded.payload), "st": 2}
    assert today.payload.count(b'"ps"') == 1


def test_parts_follow_each_other(tmp_path: Path) -> None:
    """Files that continue the first one keep the times of arrival."""
    first = written(tmp_path / "a", DEPTH, SNAPSHOT)
    events = list(RecordedFeed((first, first), venue("coinm")).events(0))
    assert [event.due_ns for event in events] == [0, 1_000_000, 1_000_000, 1_000_000]


def test_rules_follow_from_the_snapshot(tmp_path: Path) -> None:
    """Increments are the largest powers of ten that divide all prices and quantities."""
    rules = RecordedFeed((written(tmp_path / "a", DEPTH, SNAPSHOT),), venue("coinm")).rules
    assert (rules.base, rules.quote, rules.tick, rules.lot) == ("BTC", "USD", "0.1", "1")
    assert increment(["0.00010000", "1.00000000"]) == "0.0001"
    assert split_symbol("ETHBTC") == ("ETH", "BTC")
    assert split_symbol("XYZ") == ("XYZ", "")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((DEPTH,), SourceEmptyError),
        ((SNAPSHOT,), SourceEmptyError),
        ((DEPTH, SNAPSHOT, '{"stream":"btcusd_perp@depth","data":{'), SourceCorruptError),
    ],
)
def test_a_file_that_is_no_recording_is_told(
    tmp_path: Path, lines: tuple[str, ...], error: type[Exception]
) -> None:
    """Without a snapshot there is no book, and a cut line is named."""
    path = written(tmp_path / "a", *lines)
    with pytest.raises(error, match=str(path)):
        list(RecordedFeed((path,), venue("coinm")).events(0))


def test_a_file_of_other_lines_is_told(tmp_path: Path) -> None:
    """Lines without an arrival are named by the reader that `obp import-recording` uses, too."""
    text = tmp_path / "text"
    text.write_text("hello world\n", encoding="utf-8")
    with pytest.raises(SourceValueError, match="text: line 1"):
        _ = RecordedFeed((text,), venue("coinm")).seed
