"""The whole capture against a tiny exchange on loopback."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.capture import LiveCapture
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import CaptureStartError, LogBusyError, LogKeyError, SettingsError
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import USDM
from order_book_platform.storage import LogReader
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform_tests.capture.tiny_exchange import TinyExchange

SETTINGS = CaptureSettings(clock_source="none")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture
def exchange() -> Iterator[TinyExchange]:
    """A running exchange."""
    with TinyExchange().running() as running:
        yield running


def capture(
    exchange: TinyExchange, root: Path, symbols: tuple[str, ...] = SYMBOLS, **settings: Any
) -> LiveCapture:
    """Make a capture of the exchange."""
    return LiveCapture(
        SETTINGS.model_copy(update=settings),
        root,
        USDM,
        symbols,
        ws_url=exchange.ws_url,
        rest_url=exchange.rest_url,
    )


def rows(root: Path) -> list[dict[str, Any]]:
    """Rows of the raw log, with `detail` parsed."""
    found: list[dict[str, Any]] = []
    for batch in LogReader(root / "usdm/raw").read():
        found += batch.batch.to_pylist()
    return [row | {"detail": row["detail"] and json.loads(row["detail"])} for row in found]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Rows of one kind."""
    return [row for row in found if row["kind"] == kind]


def test_everything_that_was_sent_is_in_the_log(exchange: TinyExchange, tmp_path: Path) -> None:
    """The log begins with the rules, holds each message as it was sent, and ends with the connection's end."""
    exchange.binary = b"\x00\x01binary"
    taken = capture(exchange, tmp_path)
    metrics = taken.run(lambda: len(exchange.requests) == 3 and len(exchange.sent[0]) > 200)
    found = rows(tmp_path)
    assert [row["kind"] for row in found[:4]] == ["rest", "rules", "rules", "connect"]
    messages = of_kind(found, "message")
    assert [row["payload"] for row in messages] == exchange.sent[0][: len(messages)]
    assert len(messages) > 200
    assert [row["binary"] for row in messages[:2]] == [True, False]
    assert found[-1]["kind"] == "close"
    assert found[-1]["detail"]["by"] == "recorder"
    assert [row["monotonic_time"] for row in found] == sorted(row["monotonic_time"] for row in found)
    snapshots = {row["route"] for row in of_kind(found, "rest")[1:]}
    assert snapshots == {f"/fapi/v1/depth?symbol={symbol}&limit=1000" for symbol in SYMBOLS}
    assert not of_kind(found, "gap")
    assert metrics.rows == len(found)
    assert metrics.messages == len(messages)
    assert metrics.durable_ns[0] > 0
    assert exchange.paths == ["/public/stream?streams=" + "/".join(found[3]["detail"]["streams"])]


def test_a_lost_connection_is_replaced_and_its_loss_recorded(exchange: TinyExchange, tmp_path: Path) -> None:
    """Each stream has a gap between the two connections, and the depth streams get a new snapshot."""

    def stopped() -> bool:
        if exchange.sent and len(exchange.sent[0]) > 100:
            exchange.drop.add(0)
        return len(exchange.sent) > 1 and len(exchange.sent[1]) > 100

    capture(exchange, tmp_path).run(stopped)
    found = rows(tmp_path)
    assert [row["detail"]["why"] for row in of_kind(found, "connect")] == ["start", "reconnect"]
    assert of_kind(found, "close")[0]["detail"]["by"] == "network"
    gaps = of_kind(found, "gap")
    assert {row["detail"]["why"] for row in gaps} == {"disconnected"}
    assert sorted(name for row in gaps for name in row["detail"]["streams"]) == sorted(
        found[3]["detail"]["streams"]
    )


def test_a_capture_goes_on_where_a_killed_one_stopped(exchange: TinyExchange, tmp_path: Path) -> None:
    """A log whose connections have no end is followed by a gap `killed`, and connections are numbered on."""
    first = capture(exchange, tmp_path)
    first.run(lambda: len(exchange.sent) == 1 and len(exchange.sent[0]) > 20)
    folder = tmp_path / "usdm/raw"
    (segment,) = folder.glob("*.log")
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) // 2])
    assert of_kind(rows(tmp_path), "close") == []
    before = len(rows(tmp_path))
    capture(exchange, tmp_path).run(lambda: len(exchange.sent) == 2 and len(exchange.sent[1]) > 20)
    later = rows(tmp_path)[before:]
    assert (later[0]["kind"], later[0]["detail"]["why"]) == ("gap", "killed")
    assert of_kind(later, "connect")[0]["connection"] == 2
    capture(exchange, tmp_path).run(lambda: len(exchange.sent) == 3 and len(exchange.sent[2]) > 20)
    assert sum(row["detail"]["why"] == "killed" for row in of_kind(rows(tmp_path), "gap")) == 1


def test_a_full_disk_becomes_a_gap_and_recording_goes_on(
    exchange: TinyExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the buffer held is written when there is space again; what it did not hold is the gap, and nothing else."""
    plain, full = os.writev, threading.Event()

    def writev(descriptor: int, parts: Any) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(descriptor, parts)

    monkeypatch.setattr(os, "writev", writev)
    taken = capture(exchange, tmp_path, buffer=100_000)
    rows_when_freed = 0

    def is_over() -> bool:
        nonlocal rows_when_freed
        found = taken.metrics()
        if found.dropped > 20 and full.is_set():
            assert found.trouble is not None
            full.clear()
            rows_when_freed = found.rows
        elif found.rows > 100 and not found.dropped:
            full.set()
        return 0 < rows_when_freed < found.rows - 500

    found = taken.run(is_over, duration_ns=60 * NS_PER_SECOND)
    assert (found.trouble, full.is_set()) == (None, False)
    recorded = rows(tmp_path)
    (gap,) = of_kind(recorded, "gap")
    assert gap["detail"]["why"] == "buffer_full"
    assert gap["detail"]["dropped"] == found.dropped > 20
    payloads = [row["payload"] for row in of_kind(recorded, "message")]
    (sent,) = exchange.sent
    before = sum(row["kind"] == "message" for row in recorded[: recorded.index(gap)])
    assert payloads[:before] == sent[:before]
    assert payloads[before:] == sent[before + found.dropped : found.dropped + len(payloads)]


def test_a_wrong_symbol_is_told_with_names_near_to_it(exchange: TinyExchange, tmp_path: Path) -> None:
    """Nothing is connected, and the error says what was probably meant."""
    with pytest.raises(SettingsError, match="Did you mean BTCUSDT") as error:
        capture(exchange, tmp_path, ("BTCUDST",)).run(lambda: False)
    assert error.value.found == "'BTCUDST'"
    assert exchange.paths == []


def test_an_unreachable_exchange_is_told(tmp_path: Path) -> None:
    """A refused connection ends the start after the time that is allowed for it."""
    nowhere = TinyExchange()
    nowhere.ws_url, nowhere.rest_url = "ws://127.0.0.1:9", "http://127.0.0.1:9"
    with pytest.raises(CaptureStartError, match="/fapi/v1/exchangeInfo") as error:
        capture(nowhere, tmp_path, start_within=1).run(lambda: False)
    assert "127.0.0.1:9" in error.value.found


def test_a_time_that_is_over_before_the_start_is_told(tmp_path: Path) -> None:
    """Nothing was recorded: that is no success."""
    nowhere = TinyExchange()
    nowhere.ws_url, nowhere.rest_url = "ws://127.0.0.1:9", "http://127.0.0.1:9"
    with pytest.raises(CaptureStartError, match=r"an answer of the exchange within 0\.3 s"):
        capture(nowhere, tmp_path).run(lambda: False, duration_ns=300_000_000)


def test_a_clock_off_by_a_day_is_refused(exchange: TinyExchange, tmp_path: Path) -> None:
    """Rows would go into the partition of another day."""
    exchange.server_time_ms = 1_000_000
    with pytest.raises(CaptureStartError, match="Set the clock"):
        capture(exchange, tmp_path).run(lambda: False)


def test_a_second_process_is_kept_out(exchange: TinyExchange, tmp_path: Path) -> None:
    """The lock of the log is the lock of the capture."""
    first = capture(exchange, tmp_path)
    with pytest.raises(LogBusyError):
        capture(exchange, tmp_path)
    first.run(lambda: True)


def test_rotation_on_demand_overlaps(exchange: TinyExchange, tmp_path: Path) -> None:
    """A new connection is opened first; the old one is closed when nothing can lie between the two."""
    taken = capture(exchange, tmp_path)

    def stopped() -> bool:
        if len(exchange.sent) == 1 and len(exchange.sent[0]) > 100:
            taken.rotate()
        return len(exchange.sent) == 2 and any(row["kind"] == "boundary" for row in rows(tmp_path))

    taken.run(stopped)
    found = rows(tmp_path)
    kinds = [row["kind"] for row in found if row["kind"] in ("connect", "boundary", "close")]
    assert kinds == ["connect", "connect", "boundary", "close", "close"]
    assert len(of_kind(found, "boundary")[0]["detail"]["proven"]) == 6
    assert not of_kind(found, "gap")


def test_an_encrypted_capture_goes_on_with_its_key_alone(exchange: TinyExchange, tmp_path: Path) -> None:
    """No payload can be read in the files; the same key goes on, and no key is told."""
    keys = MasterKeys.new("test")
    options: dict[str, Any] = {"ws_url": exchange.ws_url, "rest_url": exchange.rest_url}
    for number in range(2):
        taken = LiveCapture(SETTINGS, tmp_path, USDM, SYMBOLS, keys=keys, **options)
        taken.run(lambda number=number: len(exchange.sent) > number and len(exchange.sent[number]) > 50)  # type: ignore[misc]
    folder = tmp_path / "usdm/raw"
    assert not any(b"btcusdt@" in path.read_bytes() for path in folder.iterdir() if path.is_file())
    found = [row for batch in LogReader(folder, keys).read() for row in batch.batch.to_pylist()]
    assert max(row["connection"] for row in found) == 2
    with pytest.raises(LogKeyError):
        LiveCapture(SETTINGS, tmp_path, USDM, SYMBOLS, **options)


def test_a_session_that_fails_ends_the_capture(
    exchange: TinyExchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the code is not swallowed by a task; what was received before is in the log."""
    caplog.set_level(logging.CRITICAL)
    taken = capture(exchange, tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(taken._session, "on_response", broken)
    with pytest.raises(RuntimeError, match="broken"):
        taken.run(lambda: False)
