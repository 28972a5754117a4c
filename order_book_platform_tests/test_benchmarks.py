"""Benchmarks run, compare like with like, and say what they measured; how fast is their business."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import (
    BENCHMARKS,
    assess,
    cancel,
    capture,
    chart,
    checkpoints,
    contest,
    day,
    exchange,
    flatness,
    follow,
    limit,
    memory,
    peers,
    peers_hftbacktest,
    peers_lakeapi,
    precision,
    recorders,
    replay,
    report,
    soak,
    start,
    streams,
)
from benchmarks.capture_account import Account, Archive, Gap, account
from benchmarks.contest import Other
from benchmarks.peers import Peer, Truth, compare, write_stream
from benchmarks.peers_cryptofeed import LINES, RAW
from benchmarks.report import OURS, Report, in_turn
from benchmarks.simulated import PROFILE, TWICE_AS_BUSY
from benchmarks.streams import Stream
from order_book_platform.assess import summarise_range
from order_book_platform.clock import Clock
from order_book_platform.errors import BenchmarkError
from order_book_platform.exchange.sent_ledger import LEDGER_SCHEMA
from order_book_platform.exchange.shell.self_signed_certificate import write_certificate
from order_book_platform.model import BookFlag
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.reconstruct.replay_checkpoints import DayCheckpoints
from order_book_platform.replay import replay_steps
from order_book_platform.replay.book import Book
from order_book_platform.simulate import MarketSimulator

RIGHT = Other("a dict", "order_book_platform_tests.bench_peer", "right", replay.BEST, "driven by a test", 2.0)
ABSENT = replace(RIGHT, label="nobody's", module="order_book_platform_tests.absent_peer")


@pytest.fixture(autouse=True)
def own_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers run with this Python, where the peers are not installed, also after `make bench`."""
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "none")


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks that leave this process on its cores, take little memory, and find no recordings."""
    monkeypatch.setattr(replay, "stay_on_one_core", lambda: None)
    monkeypatch.setattr(replay, "recordings_folder", lambda: None)
    monkeypatch.setattr(memory, "BYTES", 1_000_000)


@pytest.fixture(scope="module")
def small() -> Stream:
    """A short simulated stream."""
    return streams.simulated(20_000)


def check_shape(document: dict[str, Any]) -> None:
    """One object as docs and design have it."""
    assert set(document) == {"benchmark", "machine", "versions", "commit", "results", "ratios", "bars"}
    assert document["machine"]["cores"] >= 1
    for result in document["results"]:
        assert set(result) == {"system", "work", "metric", "value", "unit", "min", "max", "runs"}
        if result["runs"]:
            assert 0 <= result["min"] <= result["value"] <= result["max"]
        else:
            assert result["value"] is result["min"] is result["max"] is None
            assert "not measured: " in result["work"]
    for ratio in document["ratios"]:
        assert set(ratio) == {"numerator", "denominator", "work", "value"}
    for bar in document["bars"]:
        assert set(bar) == {"what", "required", "reached", "holds"}
    assert document["results"]
    assert document["bars"]


def test_small_days(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a few messages: one JSON object with the figures of every asset, and the bars."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--json", "--messages", "300", "--flat"])
    day.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert {result["system"] for result in document["results"]} == {*day.COMPONENTS, day.WHOLE}
    assert len({result["work"] for result in document["results"]}) == 3
    assert len(document["bars"]) == 5
    assert all(bar["reached"] is not None for bar in document["bars"])


def test_a_double_day_is_twice_as_busy() -> None:
    """It fits into a day and its update ids, and a day of it is that of the same market otherwise."""
    busy = day.market_of(2 * day.MESSAGES)
    assert day.market_of(day.MESSAGES) is PROFILE
    assert busy is TWICE_AS_BUSY
    assert MarketSimulator(busy, 1).messages_per_day >= 2 * day.MESSAGES
    assert busy.mean_interval_ms == pytest.approx(PROFILE.mean_interval_ms / 2, rel=0.02)
    different = {name for name, value in asdict(busy).items() if value != asdict(PROFILE)[name]}
    assert different == {"name", "interval_ms", "id_step"}


def test_a_day_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a figure: the process's last line comes out."""
    monkeypatch.setattr(day, "simulated_lake", lambda *_: None)
    with pytest.raises(BenchmarkError, match="book_delta_v2"):
        day.measure(300)


def test_days_within_a_limit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a few messages: half of them, all and twice as many, each with the limit and without, and the bars."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--json", "--messages", "300"])
    limit.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    works = {result["work"].split(" of ")[1] for result in document["results"]}
    assert works == {"150 messages", "300 messages", "600 messages"}
    assert len(document["results"]) == 3 * 2 * 4
    assert [bar["required"] for bar in document["bars"]] == [512_000_000] * 3 + [0.1, 2.0]
    assert all(bar["reached"] is not None for bar in document["bars"])


def test_a_limit_that_changes_a_row_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hashes are named; a process that fails is one, too, and its last line comes out."""
    measure = limit.measure

    def other(folder: Path, limit_bytes: int | None) -> dict[str, Any]:
        return measure(folder, None) | ({"replay_hash": "another"} if limit_bytes else {})

    monkeypatch.setattr(limit, "measure", other)
    with pytest.raises(BenchmarkError, match=r"expected replay_hash \w{64}.*found another"):
        limit.add_day(Report("limit"), 100, 512_000_000)
    monkeypatch.setattr(limit, "measure", measure)
    monkeypatch.setattr(limit, "BEFORE", ("raw_deltas",))
    with pytest.raises(BenchmarkError, match=r"found .*sequence_gap_report"):
        limit.add_day(Report("limit"), 100, 512_000_000)


# --- cancel ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cancelled_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> cancel.Day:
    """A short day whose books have a checkpoint after every part, and that finds nothing of the books made."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    made = cancel.Day.of(tmp_path, 400)
    wanted = made.settings.reconstruct.model_copy(update={"checkpoint_events": 1})
    return replace(made, settings=made.settings.model_copy(update={"reconstruct": wanted}))


def stopped(day: cancel.Day, end: Callable[[], None] = lambda: None) -> cancel.Running:
    """A run of this process that stops by itself after two checkpoints, and ends when it is told to."""
    save, told = DayCheckpoints.save, []

    def interrupted(self: DayCheckpoints, *arguments: Any) -> None:
        save(self, *arguments)
        if self.written == 2:
            raise KeyboardInterrupt

    def tell() -> None:
        told.append(True)
        end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DayCheckpoints, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Reconstructor(day.store, day.settings).run(cancel.KEY)
    return cancel.Running(tell, lambda: bool(told))


def test_a_run_that_is_told_to_end(cancelled_day: cancel.Day) -> None:
    """The next one goes on, and makes the same books."""
    seconds, resumed_from = cancel.cancelled(cancelled_day, lambda: stopped(cancelled_day), 0.1)
    assert seconds >= 0
    assert resumed_from >= 8_000


def test_a_run_that_does_not_end_as_it_should(
    cancelled_day: cancel.Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it was told, not at all, without what it had done, or with other books: an error, not a figure."""
    day, checkpoints = cancelled_day, cancelled_day.store.checkpoints(cancel.DATASET, cancel.KEY)
    nothing = cancel.Running(lambda: None, lambda: True)
    with pytest.raises(BenchmarkError, match="ended or hung before"):
        cancel.cancelled(day, lambda: nothing, 0.1)
    with pytest.raises(BenchmarkError, match="began anew"):
        cancel.cancelled(day, lambda: stopped(day, checkpoints.clear), 0)
    with pytest.raises(BenchmarkError, match="expected replay_hash of another"):
        cancel.cancelled(replace(day, replay_hash="of another"), lambda: stopped(day), 0)
    whole = lambda: Reconstructor(day.store, day.settings).run(cancel.KEY)  # noqa: E731
    with pytest.raises(BenchmarkError, match="came to its end first"):
        cancel.cancelled(day, lambda: stopped(day, whole), 0)
    monkeypatch.setattr(cancel, "GIVEN_UP_S", 0.0)
    with pytest.raises(BenchmarkError, match="goes on for 0 s"):
        cancel.cancelled(day, lambda: replace(stopped(day), has_ended=lambda: False), 0)


def test_a_small_run_of_cancel(
    cancelled_day: cancel.Day, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways at every instant, in one JSON object, with a bar for each way."""
    monkeypatch.setattr(cancel, "SHARES", (0.0, 0.1))
    monkeypatch.setattr(cancel.Day, "of", lambda *_: cancelled_day)
    monkeypatch.setattr(cancel, "dagster_over", lambda _: nullcontext())
    for way in ("by_command", "by_dagster"):
        monkeypatch.setattr(cancel, way, lambda _: stopped(cancelled_day))
    monkeypatch.setattr("sys.argv", ["benchmark", "--json"])
    cancel.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert len(document["results"]) == 8
    assert [bar["required"] for bar in document["bars"]] == [5.0, 5.0]


@pytest.mark.usefixtures("in_place")
def test_a_small_run_of_the_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """All streams and works on few deltas; without the peers' packages each peer is there, as not measured."""
    monkeypatch.setattr("sys.argv", ["replay", "--json", "--deltas", "30000", "--runs", "1"])
    replay.main()
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    check_shape(document)
    assert "No recordings" in printed.err
    absent = [result for result in document["results"] if result["runs"] == 0]
    assert len(absent) == len(replay.OTHERS) + 2
    assert all("make bench" in result["work"] for result in absent)
    bars = {bar["what"]: bar for bar in document["bars"]}
    required = [other for other in replay.OTHERS if other.required is not None]
    assert [other.required for other in required] == [5.0, 40.0]
    for other in required:
        bar = bars[f"{replay.BEST.work}, times as fast as {other.label}"]
        assert bar["reached"] is None
        assert not bar["holds"]
    ours = {result["work"] for result in document["results"] if result["system"] == OURS}
    for work in (replay.BEST, replay.TOP, replay.CHANGED, replay.BEST_EVERY, replay.TOP_EVERY):
        assert any(each.startswith(f"{work.work}, ") for each in ours)
    for pattern in chart.FLATNESS:
        assert len(chart.costs(document, pattern)) >= 3
    (tmp_path / "replay.json").write_text(printed.out)
    assert chart.markdown(chart.read(tmp_path / "replay.json")).count("–") == 2 * len(replay.OTHERS) - 4 + 6


def test_a_small_run_of_precision(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a short day: one JSON object, each work both ways, and the books of both are the same."""
    monkeypatch.setattr(precision, "stay_on_one_core", lambda: None)
    monkeypatch.setattr(precision.pa, "set_cpu_count", lambda _: None)
    monkeypatch.setattr("sys.argv", ["precision", "--json", "--messages", "150", "--runs", "1"])
    precision.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert all(bar["holds"] for bar in document["bars"])
    assert {ratio["work"] for ratio in document["ratios"]} >= {"reconstructed_books", "sum, polars"}
    with pytest.raises(SystemExit):
        monkeypatch.setattr("sys.argv", ["precision", "--runs", "0"])
        precision.main()


def test_a_small_run_of_assess(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a short day and a few days: one JSON object and three bars; files that open late take longer."""
    small = ["assess", "--json", "--messages", "300", "--symbols", "2", "--days", "3"]
    monkeypatch.setattr("sys.argv", [*small, "--latency-ms", "20"])
    monkeypatch.setattr(assess, "GROUP_ROWS", 5)
    assess.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert all(bar["holds"] for bar in document["bars"])
    works = [result["work"] for result in document["results"]]
    assert works[-1] == "2 symbols × 3 days, 18 files, 20 ms later each"
    assert document["bars"][2]["reached"] >= 3 * 0.02
    with pytest.raises(SystemExit):
        monkeypatch.setattr("sys.argv", ["assess", "--days", "0"])
        assess.main()


def test_a_year_for_assess_is_a_sound_one(tmp_path: Path) -> None:
    """What is measured are days that may go, not errors that come early."""
    settings = assess.write_year(tmp_path / "lake", 2, 2)
    days = [assess.FIRST_DAY + timedelta(days=n) for n in range(2)]
    found = summarise_range(settings, [each.instrument for each in settings.instruments], days)
    assert [each.verdict for each in found] == ["go"] * 4
    assert all(count is not None for each in found for count in each.rows.values())


def test_a_small_run_of_follow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a short capture: one JSON object with the rate and all delays; a writer that fails is an error."""
    monkeypatch.setattr("sys.argv", ["follow", "--json", "--messages", "200", "--runs", "1"])
    follow.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    metrics = [result["metric"] for result in document["results"]]
    assert metrics == ["throughput", "CPU time", *(f"append to row visible, P{p}" for p in (50, 95, 99))]
    assert all(result["value"] > 0 for result in document["results"])
    monkeypatch.setattr("sys.argv", ["follow", "--pace", "0"])
    with pytest.raises(SystemExit):
        follow.main()


def test_a_small_run_of_the_exchange(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a low rate for a short time: one JSON object with counts, delays and CPU; one that fails is an error."""
    monkeypatch.setattr(exchange, "SETTLE_S", 0.1)
    monkeypatch.setattr("sys.argv", ["exchange", "--json", "--rate", "3000", "--seconds", "0.5"])
    exchange.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert all(result["value"] > 0 for result in document["results"])
    with pytest.raises(SystemExit):
        monkeypatch.setattr("sys.argv", ["exchange", "--rate", "0"])
        exchange.main()
    monkeypatch.setattr(exchange, "COMMAND", [*exchange.COMMAND, "--fault", "unknown"])
    with pytest.raises(BenchmarkError, match="exit code 2"):
        exchange.measured(3000, 0.5)


@pytest.mark.parametrize("stall", [False, True])
def test_a_small_run_of_the_capture(
    stall: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a low rate for a short time: everything sent is accounted for, also where the disk hangs for a while."""
    monkeypatch.setattr(capture, "SETTLE_S", 3.0)
    monkeypatch.setattr(capture, "STALL_S", 0.5)
    monkeypatch.setattr(
        "sys.argv",
        [
            "capture",
            "--json",
            "--rate",
            "3000",
            "--seconds",
            "2",
            *(["--stall"] if stall else ["--pairs", "2"]),
        ],
    )
    capture.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    metrics = {result["metric"]: result["value"] for result in document["results"]}
    assert metrics["messages sent"] == metrics["messages archived"] > 0
    assert metrics["messages unreported"] == 0
    assert {result["runs"] for result in document["results"]} == {1 if stall else 2}
    (cost,) = (bar["reached"] for bar in document["bars"] if "encryption" in bar["what"])
    assert cost == document["ratios"][0]["value"] > 0
    assert stall == (metrics["arrival to durable, maximum"] > 400)


def test_an_account_tells_losses_from_gaps() -> None:
    """What no connection brought is unreported unless a gap of its stream is about this very hole in the ids."""
    depth, trade = "btcusdt@depth@100ms", "btcusdt@trade"
    rows = [(10, 1, "open", "/", None, None, None, "sent", None)]
    rows += [(n, 1, "message", depth, 10 * n - 5, 10 * n, 10 * n - 10, "sent", None) for n in range(1, 8)]
    rows += [(n, 1, "message", trade, n, n, None, "damaged", "malformed") for n in (1, 2)]
    rows += [(9, 1, "binary", depth, None, None, None, "sent", "binary")]
    columns = [*zip(*rows, strict=True), *[[None] * len(rows)] * 2]
    arrays = [
        pa.array(column, pa.string()).cast(field.type)
        if pa.types.is_dictionary(field.type)
        else pa.array(column, field.type)
        for column, field in zip(columns, LEDGER_SCHEMA, strict=True)
    ]
    ledger = pa.Table.from_arrays(arrays, schema=LEDGER_SCHEMA)
    ids = np.array([[0, 10, 101, 1], [10, 20, 201, 2], [40, 60, 601, 5]])
    archive = Archive({(4, depth): ids}, {4: 20}, Counter({(4, trade): 1}), Counter({4: 1}))

    def unreported(*gaps: Gap) -> list[int]:
        archive.gaps[:] = gaps
        found = account(ledger, archive)
        assert (found.sent, found.damaged, found.archived + found.in_gaps) == (
            10,
            3,
            10 - len(found.unreported),
        )
        return [number for _, number, _ in found.unreported]

    everything, of_depth = frozenset[str](), frozenset([depth])
    assert unreported() == [30, 40, 70, 2]
    assert unreported(Gap("chain", frozenset(["ethusdt@depth@100ms"]), 201, 601, 0, 6)) == [30, 40, 70, 2]
    assert unreported(Gap("chain", of_depth, 201, 601, 0, 6)) == [70, 2]
    assert unreported(Gap("chain", of_depth, 101, 201, 0, 3)) == [
        30,
        40,
        70,
        2,
    ]  # it is about an earlier hole
    assert unreported(Gap("chain", of_depth, 601, 701, 0, 7)) == [30, 40, 70, 2]  # it begins behind the hole
    assert unreported(Gap("killed", everything, 201, 301, 0, 3)) == [70]
    assert unreported(Gap("silence", of_depth, 601, 701, 0, 7)) == [30, 40, 2]  # to the end of the capture
    assert unreported(Gap("silence", of_depth, 201, 701, 0, 7)) == [70, 2]  # behind a message that followed
    assert (
        unreported(Gap("chain", of_depth, 201, 601, 0, 6), Gap("disconnected", everything, 601, 701, 0, 7))
        == []
    )
    archive.binary.clear()
    assert unreported(Gap("disconnected", everything, 101, 601, 0, 4)) == [70, 4]
    assert (
        unreported(Gap("chain", of_depth, 201, 601, 0, 6), Gap("disconnected", everything, 601, 701, 0, 7))
        == []
    )


def test_a_small_soak(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With a break each second for some seconds: samples of everything, breaks, and all that was sent accounted for."""
    monkeypatch.setattr(soak, "BREAK_EVERY_S", 1)
    monkeypatch.setattr(soak, "SCRAPE_EVERY_S", 3.0)
    monkeypatch.setattr("sys.argv", ["soak", "--json", "--rate", "3000", "--minutes", "0.12"])
    soak.main()
    document = json.loads(capsys.readouterr().out)
    metrics = {result["metric"]: result["value"] for result in document["results"]}
    assert metrics["connections broken"] >= 2
    assert metrics["gaps"] > 0
    assert metrics["messages sent"] == metrics["messages archived"] + metrics["messages inside reported gaps"]
    assert metrics["messages unreported"] == 0
    assert metrics["descriptors, median"] > metrics["tasks, median"] > 0
    assert len(document["bars"]) == 6


def test_growth_is_told_from_waves() -> None:
    """A leak of one in a minute rises; a saw of any height with short teeth does not, nor does what grows at first."""
    times_s = np.arange(1800.0)
    begin = np.where(times_s < 250, times_s, 250)
    found = soak.Soaked(
        {"time_s": times_s, "leak": 10 + times_s // 60, "saw": 100 + times_s % 30, "begin": begin},
        0,
        Account(),
    )
    assert found.growth("leak") == (pytest.approx(27, abs=1), pytest.approx(25, abs=0.5))
    assert abs(found.growth("saw")[1]) < soak.GROWTH * 100
    assert found.growth("begin")[1] == pytest.approx(0, abs=1e-6)


def test_a_soak_that_fails_is_an_error(tmp_path: Path) -> None:
    """What the capture said last is in it."""
    market = {"websocket": "wss://127.0.0.1:1", "rest": "https://127.0.0.1:1"}
    certificate = str(write_certificate(tmp_path, Clock().now_ns())[0])
    with (
        pytest.raises(BenchmarkError, match=r"exit code 2.*expected at least one symbol"),
        soak.recording(tmp_path, market, certificate, ["--symbols", ","]) as process,
    ):
        process.wait()


def test_a_small_run_of_the_recorders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one short round: kept and lost messages are all that was published, and no loss is unreported."""
    monkeypatch.setattr(recorders, "ROUND_S", 6.0)
    monkeypatch.setattr(recorders, "SETTLE_S", 2.0)
    monkeypatch.setattr(
        recorders,
        "SCHEDULE",
        ((0.1, "disconnect@1"), (0.4, "drop@1+2:depth"), (0.5, "reorder@1,duplicate@2")),
    )
    monkeypatch.setattr("sys.argv", ["recorders", "--json", "--rounds", "1"])
    recorders.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    metrics = {
        result["metric"]: result["value"] for result in document["results"] if result["system"] == OURS
    }
    for kind in recorders.KINDS:
        published, kept, lost, reported, unreported = (
            metrics[f"{kind} messages {what}"]
            for what in ("published", "kept", "lost", "lost and reported", "lost and unreported")
        )
        assert published == kept + lost
        assert lost == reported > 0
        assert unreported == 0
    absent = [result for result in document["results"] if result["system"] in recorders.CRYPTOFEED]
    assert all("make bench" in result["work"] for result in absent)
    assert len(absent) == 2


def test_what_cryptofeed_has(tmp_path: Path) -> None:
    """Its raw files and its callbacks give messages with their ids; connections, new books and its log are notices."""
    (tmp_path / RAW).mkdir()
    depth = '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":8,"u":9,"pu":6}}'
    ticker = '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":9,"s":"BTCUSDT"}}'
    lines = ["wss://here/stream?streams=x <-> 1.5", f"2.25: {depth}", f"2.5: {ticker}", "3.0: [not data]"]
    (tmp_path / RAW / "BINANCE_FUTURES.ws.1.0").write_text("\n".join(lines), encoding="utf-8")
    calls = [
        ["snapshot", 10, "BTC-USDT-PERP"],
        ["delta", 20, "BTC-USDT-PERP", 8, 9, 6],
        ["ticker", 30, "BTC-USDT-PERP", 9],
        ["log", 40, "resetting"],
    ]
    (tmp_path / LINES).write_text("\n".join(map(json.dumps, calls)), encoding="utf-8")
    raw, callbacks = recorders.read_raw_files(tmp_path), recorders.read_callbacks(tmp_path)
    second = 10**9
    assert {key: found.tolist() for key, found in raw.messages.items()} == {
        (1, "btcusdt@depth@100ms"): [[6, 9, 9 * second // 4, 2]],
        (1, "btcusdt@bookTicker"): [[8, 9, 5 * second // 2, 3]],
    }
    assert {key: found.tolist() for key, found in callbacks.messages.items()} == {
        (1, "btcusdt@depth@100ms"): [[6, 9, 20, 1]],
        (1, "btcusdt@bookTicker"): [[8, 9, 30, 2]],
    }
    assert [(gap.streams, gap.to_ns, gap.row) for gap in raw.gaps] == [
        (frozenset(), 40, 0),
        (frozenset(), 3 * second // 2, 1),
    ]
    assert [(gap.streams, gap.row) for gap in callbacks.gaps] == [
        (frozenset(["btcusdt@depth@100ms"]), 0),
        (frozenset(), 3),
    ]


def test_a_small_run_of_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of processes that only say when they started: one JSON object; one that fails is an error."""
    at = "[time.monotonic_ns(), time.process_time_ns()]"
    monkeypatch.setattr(
        start, "PROCESS", f"import json, time\nprint(json.dumps({{'starting Python': {at}}}))"
    )
    monkeypatch.setattr(start, "stay_on_one_core", lambda: None)
    monkeypatch.setattr("sys.argv", ["benchmark", "--json"])
    start.main()
    check_shape(json.loads(capsys.readouterr().out))
    monkeypatch.setattr(start, "PROCESS", "raise SystemExit(3)")
    with pytest.raises(BenchmarkError, match="exit code 3"):
        start.main()


def test_the_process_that_start_measures() -> None:
    """It replays a batch and says when it had done what."""
    command = [sys.executable, "-c", start.PROCESS, "rows"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=start.ROOT, timeout=300)
    marks = json.loads(done.stdout)
    assert list(marks)[-1] == "loading loops and the first rows"
    assert sorted(marks.values()) == list(marks.values())


def test_what_checkpoints_cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As many runs with as without; those with have written checkpoints."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    monkeypatch.setattr("sys.argv", ["benchmark", "--json", "--messages", "300", "--turns", "2"])
    written, rebuilt = [], checkpoints.rebuilt

    def noted(*arguments: Any, events: int) -> tuple[float, float, int]:
        found = rebuilt(*arguments, events=min(events, 4_000))
        written.append((events > 0, found[2] > 0))
        return found

    monkeypatch.setattr(checkpoints, "rebuilt", noted)
    checkpoints.main()
    document = json.loads(capsys.readouterr().out)
    check_shape(document)
    assert {result["runs"] for result in document["results"]} == {2}
    assert sorted(written) == [(False, False)] * 3 + [(True, True)] * 2


def test_a_day_without_checkpoints_costs_nothing_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused: the figure would be of something else."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--json", "--messages", "30", "--turns", "1"])
    with pytest.raises(BenchmarkError, match="a day with a checkpoint"):
        checkpoints.main()


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("arguments", [["--deltas", "0"], ["--deltas", "29999"], ["--runs", "0"], ["--what"]])
def test_wrong_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers too small and unknown options end with 2 and say what is expected."""
    monkeypatch.setattr("sys.argv", ["replay", *arguments])
    with pytest.raises(SystemExit) as end:
        replay.main()
    assert end.value.code == 2
    assert "obp bench replay" in capsys.readouterr().err


def test_every_benchmark_is_there() -> None:
    """Each name that `obp bench` offers is a module with a main."""
    for name in BENCHMARKS:
        assert callable(import_module(f"benchmarks.{name}").main)


@pytest.mark.parametrize(("option", "code"), [("--help", 0), ("--what", 2)])
@pytest.mark.parametrize("name", BENCHMARKS)
def test_asking_measures_nothing(
    name: str,
    option: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Help and an unknown option end every benchmark before it starts."""
    benchmark = import_module(f"benchmarks.{name}")
    monkeypatch.setattr(benchmark, "Report", None)
    monkeypatch.setattr("sys.argv", ["benchmark", option])
    with pytest.raises(SystemExit) as end:
        benchmark.main()
    assert end.value.code == code
    printed = capsys.readouterr()
    assert f"usage: obp bench {name} " in printed.out + printed.err


# --- report ---------------------------------------------------------------------------------------------------------


def test_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For people: a figure with its runs, a ratio, and bars: held, missed, not measured."""
    monkeypatch.setenv("COLUMNS", "120")
    trial = Report("trial")
    trial.add("us", "nothing", "time", "s", [3.0, 1.0, 2.0])
    trial.missing("them", "nothing", "time", "s", "install them")
    trial.ratio("us", "them", "nothing", [3.0], [2.0])
    trial.bar("speed", 10, 10.0)
    trial.bar("time", 10, 11.0, at_most=True)
    trial.bar("size", 10, None)
    trial.show(as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:2] == ["trial", "on"]
    assert ["us", "nothing", "time", "2", "s", "1", "to", "3,", "3", "runs"] in lines
    assert ["them", "nothing;", "not", "measured:", "install", "them", "time", "-", "s", "0"] in lines
    assert ["nothing", "us", "them", "1.50"] in lines
    assert ["holds", "speed", "10", "10"] in lines
    assert ["MISSED", "time", "10", "11"] in lines
    assert ["not", "measured", "size", "10", "-"] in lines


def test_ratios_are_pairwise() -> None:
    """A ratio is the median over turns, not the ratio of two medians."""
    trial = Report("trial")
    assert trial.ratio("us", "them", "work", [10.0, 20.0, 90.0], [1.0, 10.0, 10.0]) == 9.0
    assert trial.ratios == [{"numerator": "us", "denominator": "them", "work": "work", "value": 9.0}]
    with pytest.raises(ValueError, match="zip"):
        trial.ratio("us", "them", "work", [1.0], [1.0, 2.0])


def test_systems_take_turns() -> None:
    """One after the other, again and again; of two runs in a turn the second counts."""
    order: list[str] = []
    clock: Iterator[int] = iter(range(100))

    def runner(name: str) -> int:
        order.append(name)
        return next(clock)

    times = in_turn({name: lambda name=name: runner(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == list("aabbaabb")
    assert times == {"a": [1, 5], "b": [3, 7]}


def test_errors_are_a_block(capsys: pytest.CaptureFixture[str]) -> None:
    """A benchmark that cannot run ends with 1 and says why, without a traceback."""

    def refuse() -> None:
        compare("somebody", Truth(np.zeros((1, 2), np.int64), np.zeros((2, 1, 2), np.int64)), np.ones((1, 2), np.int64),
                np.zeros((2, 1, 2), np.int64))  # fmt: skip

    assert report.run(refuse) == 1
    assert report.run(lambda: None) == 0
    assert "somebody, after message 0" in capsys.readouterr().err


# --- peers ----------------------------------------------------------------------------------------------------------


def test_a_peer_with_the_same_book_is_timed(small: Stream) -> None:
    """Results, the pairwise ratio and its bar; versions of what it runs with are named as its own."""
    trial = Report("trial")
    reached = contest.measure(trial, small, (replay.BEST,), (RIGHT, ABSENT), 2)
    ours, theirs, absent = trial.results
    assert reached == {replay.BEST: ours.value}
    assert theirs.value == pytest.approx(len(small.batch) * 1e9 / 1_000)
    assert (theirs.runs, absent.runs) == (2, 0)
    assert ours.min is not None
    assert ours.max is not None
    assert theirs.value is not None
    assert ours.min / theirs.value <= trial.ratios[0]["value"] <= ours.max / theirs.value
    assert "a-package-that-nobody-installed is not installed; run `make bench`" in absent.work
    assert set(trial.versions) == {"numpy", "click of numpy"}
    assert [bar["reached"] is None for bar in trial.bars] == [False, False, True]


def test_a_peer_may_get_a_part(small: Stream) -> None:
    """A slow system runs over the beginning, and is compared with the book at that place."""
    stream = replace(small, batch=small.batch.slice(0, 15_000))
    trial = Report("trial")
    part = replace(RIGHT, share=2)
    assert part.rows(stream) == len(stream.batch)  # too short to be divided
    longer = streams.simulated(110_000)
    assert part.rows(longer) == 55_000
    contest.measure(trial, longer, (replay.BEST,), (part,), 1)
    assert "55,000 deltas" in trial.results[1].work


@pytest.mark.parametrize(
    ("system", "where"),
    [("wrong best", "wrong best, after message "), ("wrong top", "wrong top, ask level 3 at the end")],
)
def test_a_peer_with_another_book_is_refused(system: str, where: str, small: Stream) -> None:
    """Neither a wrong best price in the middle nor a wrong size deep in the final book gets a time."""
    with pytest.raises(BenchmarkError) as refusal:
        contest.measure(Report("trial"), small, (replay.BEST,), (replace(RIGHT, system=system),), 1)
    assert refusal.value.where.startswith(where)


def test_a_peer_that_fails(small: Stream) -> None:
    """Its last words are in the error."""
    with pytest.raises(BenchmarkError, match="ZeroDivisionError: a peer's own bug"):
        contest.measure(Report("trial"), small, (replay.BEST,), (replace(RIGHT, system="failing"),), 1)


def test_a_peer_that_is_no_module(small: Stream, tmp_path: Path) -> None:
    """A worker that does not start is an error, not a missing peer."""
    write_stream(small, tmp_path)
    with pytest.raises(BenchmarkError, match="No module named"):
        Peer("order_book_platform_tests.nothing", tmp_path, 10)


def test_loops_of_the_hftbacktest_worker() -> None:
    """Uncompiled, on a stand-in: best prices after each message, and levels walked off the arrays."""
    sizes = np.zeros(10)
    sizes[[1, 3, 4]] = 1.0, 2.0, 3.0
    asks = np.zeros(10)
    asks[[6, 9]] = 4.0, 5.0
    depth = SimpleNamespace(
        best_bid_tick=104,
        best_ask_tick=106,
        roi_lb_tick=100,
        bid_depth=sizes,
        ask_depth=asks,
        bid_qty_at_tick=lambda tick: sizes[tick - 100],
        ask_qty_at_tick=lambda tick: asks[tick - 100],
    )
    backtest = SimpleNamespace(depth=lambda asset: depth, elapse=lambda step_ns: 0)
    best = np.zeros((3, 2), np.int64)
    peers_hftbacktest.best_each_message(backtest, 1_000, best)
    assert best.tolist() == [[0, 0], [104, 106], [104, 106]]
    rows = np.zeros((peers_hftbacktest.MASK + 1, 2, 20, 2))
    peers_hftbacktest.top_each_message(backtest, 1_000, best, rows)
    assert rows[2, 0, :4].tolist() == [[104, 3], [103, 2], [101, 1], [0, 0]]
    assert rows[2, 1, :3].tolist() == [[106, 4], [109, 5], [0, 0]]
    top = peers_hftbacktest.final_levels(depth, best, 0.5, range(100, 110))
    assert top[0, :3].tolist() == [[52 * 10**8, 3 * 10**8], [515 * 10**7, 2 * 10**8], [505 * 10**7, 10**8]]
    assert top[1, 2].tolist() == [-1, 0]


def test_loops_of_the_lakeapi_worker() -> None:
    """Uncompiled, on stand-ins: one pair of best prices a message, and the best levels of a dict."""
    seen = iter([(1.0, 2.0), (1.5, 2.5)])
    more = iter([70, 140, 0])
    updater = SimpleNamespace(process_next_update=lambda: next(more), get_bests=lambda: next(seen))
    best = np.zeros((2, 2))
    peers_lakeapi.bests_as_published(updater, best)
    assert best.tolist() == [[1, 2], [1.5, 2.5]]
    row = np.zeros((20, 2))
    peers_lakeapi.best_of({1.0: 7.0, 3.0: 8.0, 2.0: 9.0}, -1.0, np.zeros(10), row)
    assert row[:4].tolist() == [[3, 8], [2, 9], [1, 7], [0, 0]]


# --- streams --------------------------------------------------------------------------------------------------------


def book_after(stream: Stream) -> list[list[tuple[int, int]]]:
    """Levels of both sides at the end."""
    book = Book(stream.tick_pips, depth=1, cadence="message")
    flatness.drain(book, stream.batch)
    sides = (book.levels(side) for side in (0, 1))
    return [list(zip(s.encoded_price.tolist(), s.encoded_size.tolist(), strict=True)) for s in sides]


def test_simulated_stream(small: Stream) -> None:
    """As long as asked, the same again, whole messages in order, and the whole book in the first of them."""
    again = streams.simulated(20_000)
    assert len(small.batch) == 20_000
    for column in ("origin_time", "sequence_number", "encoded_price", "encoded_size", "is_bid"):
        assert np.array_equal(getattr(small.batch, column), getattr(again.batch, column))
    assert (np.diff(small.batch.sequence_number) >= 0).all()
    assert (np.diff(small.batch.origin_time) >= 0).all()
    assert small.opening > 10_000
    assert (small.batch.encoded_size[: small.opening] > 0).all()
    assert len(streams.simulated(100).batch) == 100


def test_one_row_a_message(small: Stream) -> None:
    """The same deltas and the same final book, a message for each, and never crossed."""
    single = streams.one_row_a_message(small)
    assert len(single.starts) == len(small.batch) - small.opening + 1
    assert sorted(single.batch.encoded_price) == sorted(small.batch.encoded_price)
    assert book_after(single) == book_after(small)
    book = Book(single.tick_pips, depth=1, cadence="message")
    flags = np.concatenate([rows[:, 3] for rows in book.feed(single.batch)])
    assert not (flags & int(BookFlag.CROSSED | BookFlag.LOCKED)).any()


def test_crowded_streams() -> None:
    """As many levels as asked; updates of the best ones are the same in every crowd, those of all reach the last."""
    streams_of = {n: streams.crowded(n, 5_000, everywhere=False) for n in (100, 1_000)}
    for levels, stream in streams_of.items():
        assert sum(len(side) for side in book_after(stream.head(stream.opening))) == levels
    one, other = (stream.batch.slice(stream.opening, len(stream.batch)) for stream in streams_of.values())
    assert np.array_equal(one.encoded_price, other.encoded_price)
    assert np.array_equal(one.encoded_size, other.encoded_size)
    wide = streams.crowded(1_000, 5_000, everywhere=True)
    after = wide.batch.slice(wide.opening, len(wide.batch))
    assert after.encoded_price.min() == wide.batch.encoded_price.min() < one.encoded_price.min()


def test_recorded_stream(recordings: Path) -> None:
    """Repeated, in order, never crossed at the end of a message, and from the same book each time."""
    stream = streams.recorded(recordings, 1_000_000)
    assert len(stream.batch) == 1_000_000
    assert (np.diff(stream.batch.sequence_number) >= 0).all()
    first, second = stream.starts[1:3]
    message = np.stack([stream.batch.encoded_price, stream.batch.encoded_size])
    again = [
        start
        for start in stream.starts[2:]
        if np.array_equal(message[:, start : start + second - first], message[:, first:second])
    ]
    assert again
    assert book_after(stream.head(int(again[0]))) == book_after(stream.head(stream.opening))
    book = Book(stream.tick_pips, depth=1, cadence="message")
    assert not any((rows[:, 3] & int(BookFlag.CROSSED)).any() for rows in book.feed(stream.batch))


def test_recordings_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable names it; without a lake in it there is none."""
    monkeypatch.setenv("OBP_RECORDINGS", str(tmp_path))
    assert streams.recordings_folder() is None
    (tmp_path / "lake").mkdir()
    assert streams.recordings_folder() == tmp_path


def test_changes_and_live_levels(small: Stream) -> None:
    """Live levels are the book's own, and the changes from one book to another give it."""
    half, whole = small.head(15_000), small
    old, new = (streams.live_levels(stream.batch) for stream in (half, whole))
    assert sorted(zip(new.encoded_price.tolist(), new.encoded_size.tolist(), strict=True)) == sorted(
        pair for side in book_after(whole) for pair in side
    )
    book = Book(small.tick_pips, depth=1, cadence="message")
    flatness.drain(book, half.batch)
    flatness.drain(book, streams.message_after(half.batch, streams.changes(old, new)))
    assert book.levels(0).encoded_price.tolist() == [price for price, _ in book_after(whole)[0]]


# --- flatness, memory -----------------------------------------------------------------------------------------------


def test_long_run_repeats_the_stream(small: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run longer than the stream starts over from the opening book, later in time, and leaves the stream alone."""
    fed: list[tuple[int, int]] = []
    drain = flatness.drain

    def watched(book: Book, batch: Any) -> int:
        fed.append((int(batch.sequence_number[0]), len(batch)))
        return drain(book, batch)

    monkeypatch.setattr(flatness, "drain", watched)
    before = small.batch.sequence_number.copy()
    rest = len(small.batch) - small.opening
    assert flatness.long_run(small, 2 * rest + 10) > 0
    assert [length for _, length in fed if length in (rest, 10)] == [rest, rest, 10]
    assert len(fed) == 1 + 3 + 2
    assert [start for start, _ in fed] == sorted(start for start, _ in fed)
    assert np.array_equal(small.batch.sequence_number, before)


def test_turning_back(small: Stream) -> None:
    """After the message that turns back, the book is the opening one again."""
    opening, rest = flatness.split(small)
    book = Book(small.tick_pips, depth=1, cadence="message")
    flatness.drain(book, opening)
    flatness.drain(book, rest)
    assert len(book.levels(0).encoded_price) != int(opening.is_bid.sum())
    flatness.drain(book, flatness.turned_back(book, opening, rest))
    assert sorted(book.levels(0).encoded_price) == sorted(opening.encoded_price[opening.is_bid])
    assert sorted(book.levels(1).encoded_size) == sorted(opening.encoded_size[~opening.is_bid])


def test_spread() -> None:
    """How far the farthest is from the median, up or down."""
    assert flatness.spread([10.0, 10.0, 12.0]) == pytest.approx(0.2)
    assert flatness.spread([4.0, 10.0, 12.0]) == pytest.approx(0.6)


def test_memory_traffic(small: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """41 bytes of columns a delta, a row of 80 bytes a message; the share is that of what one core can read."""
    monkeypatch.setattr(memory, "BYTES", 1_000_000)
    trial = Report("trial")
    assert memory.measure_bandwidth(trial, 3) > 0
    memory.report_traffic(trial, small.batch, 2_000, 1, 1e6, 1e9)
    traffic, share = trial.results[2:]
    assert traffic.value == pytest.approx((41 + 80 * 2_000 / 20_000) * 1e6)
    assert share.value == pytest.approx(0.049)


# --- chart and table ------------------------------------------------------------------------------------------------


@pytest.fixture
def results() -> dict[str, Any]:
    """A report as the benchmark prints it, with made-up figures."""
    made = Report("replay", versions={"hftbacktest": "2.4.4"})
    stream = "simulated BTC perpetual, 69 rows a message, 20,000,000 deltas"
    for work, value in (("best bid/ask per message", 100e6), ("top 20 per message", 80e6)):
        made.add(OURS, f"{work}, {stream}", "throughput", "deltas/s", [value])
        made.add("roi", f"{work}, {stream}; driven so", "throughput", "deltas/s", [value / 4])
    made.missing(
        "lakeapi", f"best bid/ask per message, {stream}", "throughput", "deltas/s", "run `make bench`"
    )
    made.add(OURS, "a full top-20 row for every delta, one row a message", "throughput", "deltas/s", [9.6e6])
    made.ratio(OURS, "roi", "best bid/ask per message, simulated BTC perpetual", [100e6], [25e6])
    for number in (1_000, 1_000_000):
        made.add(OURS, f"best bid/ask per message, {number:,} deltas on end", "cost", "ns/delta", [9.0, 11.0])
    document: dict[str, Any] = json.loads(json.dumps(made.document()))
    return document


def test_markdown(results: dict[str, Any]) -> None:
    """A row a system with rate and ratio, a dash where nothing was measured, then what it was measured on."""
    lines = chart.markdown(results).splitlines()
    assert "| **order_book_platform** | 100 |  | 80 |" in lines
    assert "| roi | 25 | 4.0 | 20 |" in lines
    assert "| lakeapi | – | – | – |" in lines
    assert "| a full top-20 row for every delta | 9.6 |" in lines
    assert "hftbacktest 2.4.4" in lines[-1]
    assert results["commit"] in lines[-1]


def test_chart_is_the_same_again(results: dict[str, Any]) -> None:
    """Equal results give equal text, other results another; systems and works are named."""
    first = chart.draw(results).standalone()
    assert first == chart.draw(results).standalone()
    assert {"roi", "100", "25"} <= set(re.findall(r">([^<>]*)</text>", first))
    results["results"][0]["value"] *= 2
    assert first != chart.draw(results).standalone()


def test_chart_program(
    results: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It writes the image and prints the table."""
    (tmp_path / "replay.json").write_text(json.dumps(results))
    monkeypatch.setattr(
        "sys.argv", ["chart", str(tmp_path / "replay.json"), "--image", str(tmp_path / "a.svg")]
    )
    chart.main()
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == chart.draw(results).standalone()
    assert capsys.readouterr().out == chart.markdown(results) + "\n"


@pytest.mark.parametrize("content", ["", "[]", '{"benchmark": "day"}', None])
def test_chart_of_something_else(content: str | None, tmp_path: Path) -> None:
    """A file that holds no results of the replay is refused, and the error says how to make one."""
    file = tmp_path / "replay.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BenchmarkError, match="obp bench replay --json >"):
        chart.read(file)
