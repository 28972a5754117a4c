"""A captured day becomes the four partitions, and the whole path runs on it; the recordings prove it exact."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.errors import PrecisionError, SourceMissingError, SourceValueError
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.settings import load_settings
from order_book_platform.sources import DayIngest
from order_book_platform.sources.binance.capture_ingest import CaptureIngest
from order_book_platform.sources.binance.captured_day import WARM_UP_NS
from order_book_platform.sources.binance.live_decoding import LiveDecoding
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.sources.binance.recording_import import Recording, import_recording
from order_book_platform.storage import DataStore, LogReader, LogWriter
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.sources.binance.raw_rows import START_NS, RawRows, depth
from order_book_platform_tests.sources.binance.test_raw_log_decoder import ticker, trade

DAY_NS = 86_400 * 10**9
PARTITIONS = ("raw_deltas", "snapshots", "tickers", "trades")
KEYS = [PartitionKey.parse("BINANCE_FUTURES:BTC-USDT-PERP", day) for day in ("2024-08-08", "2024-08-09")]


class KilledError(Exception):
    """Stands for the end of a process."""


@dataclass(frozen=True)
class Recorded:
    """A recorded market: its files, and what has to come out.

    Attributes:
        equal: Messages after which best bid and ask equal the last ticker.
        compared: Messages that were compared.
        known: Those of them with a ticker in or behind the first message that was applied, which the README of the
            recordings counts.
    """

    market: str
    symbol: str
    files: tuple[str, ...]
    messages: int
    equal: int
    compared: int
    known: int

    @property
    def keys(self) -> list[PartitionKey]:
        """Its days."""
        days = ("2024-08-08", "2024-08-09")[: len(self.files)]
        return [PartitionKey.parse(self.symbol, day) for day in days]


# The two spot messages that differ have no ticker of their id. The README of the recordings counts five messages
# fewer of COIN-M, those with u = 1007198635121, …5193, …5368, …5427 and …5496. The last ticker before them (…4782) is
# older than the first message applied (U = …5026), and the next one (…5605) comes behind them. Best prices had not
# changed, so that ticker tells them all the same.
RECORDED = [
    Recorded(
        "usdm",
        "BINANCE_FUTURES:BTC-USDT-PERP",
        ("binance_usdm/btcusdt_20240808.gz",),
        6_551,
        6_547,
        6_547,
        6_547,
    ),
    Recorded(
        "coinm",
        "BINANCE_DELIVERY:BTC-USD-PERP",
        ("binance_coinm/btcusd_perp_20240808.gz", "binance_coinm/btcusd_perp_20240809.gz"),
        44_795,
        44_772,
        44_772,
        44_767,
    ),
    Recorded(
        "spot",
        "BINANCE:BTC-USDT",
        ("binance_spot/btcusdt_20240808.gz", "binance_spot/btcusdt_20240809.gz"),
        6_495,
        6_491,
        6_493,
        6_493,
    ),
]


def plain_matches(store: DataStore, keys: list[PartitionKey]) -> tuple[int, int, int]:
    """Replay the days with dicts from the first snapshot on; count messages whose best levels equal the ticker's.

    The other two counts are those of the messages that were compared, and of those with a ticker in or behind the first
    message applied.
    """
    deltas = [row for key in keys for row in store.table("raw_deltas", key).to_pylist()]
    tickers = [row for key in keys for row in store.table("tickers", key).to_pylist()]
    shot = store.table("snapshots", keys[0]).to_pylist()[0]
    sides = {
        side: dict(zip(shot[f"{side}_price_pips"], shot[f"{side}_size_pips"], strict=True))
        for side in ("bid", "ask")
    }
    numbers = np.array([row["sequence_number"] for row in tickers])
    equal = compared = known = 0
    first = next(row["first_update_id"] for row in deltas if row["sequence_number"] > shot["sequence_number"])
    for at, row in enumerate(deltas):
        if row["sequence_number"] <= shot["sequence_number"]:
            continue
        side = sides["bid" if row["is_bid"] else "ask"]
        side.pop(row["price_pips"], None)
        if row["size_pips"]:
            side[row["price_pips"]] = row["size_pips"]
        if at + 1 < len(deltas) and deltas[at + 1]["sequence_number"] == row["sequence_number"]:
            continue
        place = int(np.searchsorted(numbers, row["sequence_number"], "right")) - 1
        if place >= 0:
            bid, ask = max(sides["bid"]), min(sides["ask"])
            names = ("bid_price_pips", "bid_size_pips", "ask_price_pips", "ask_size_pips")
            found = (bid, sides["bid"][bid], ask, sides["ask"][ask])
            equal += found == tuple(tickers[place][name] for name in names)
            compared += 1
            known += numbers[place] >= first
    return equal, compared, int(known)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: each.market)
def test_recordings_are_exact(recorded: Recorded, recordings: Path, tmp_path: Path) -> None:
    """Import, decoding, gap report, assessment, books and fidelity: no gap, and the best prices are the exchange's."""
    settings = load_settings(
        write_settings(tmp_path, keys=recorded.keys, reconstruct={"continue_previous_day": True})
    )
    market, instrument = MARKETS[recorded.market], Instrument.parse(recorded.symbol)
    recording = Recording(market, instrument, [recordings / "captures" / name for name in recorded.files])
    point = recording.increments()
    import_recording(recording, settings.capture_root / recorded.market / "raw", point.tick, point.lot)
    store = DataStore(settings.data_root)
    messages = 0
    for key in recorded.keys:
        published = DayIngest(store, settings).run(key)
        messages += published.manifest.metadata["audit"]["messages"]
        assert published.manifest.metadata["capture"]["counts"]["refused"] == 0
        GapReporter(store, settings).run(key)
        report = store.report("sequence_gap_report", key)
        assert (report["kind"], report["gaps"]) == ("exact", 0)
        DataAssessor(store, settings).run(key)
        Reconstructor(store, settings).run(key)
        gates = {gate.name: gate.value for gate in FidelityReporter(store, settings).run(key).gates}
        assert gates["bbo_exact_seq_tickers"] >= (
            0.999 if (recorded.market, key) == ("spot", recorded.keys[-1]) else 1
        )
        assert gates["seq_gap_ratio"] == 0.0
    assert messages == recorded.messages
    assert plain_matches(store, recorded.keys) == (
        recorded.equal,
        recorded.compared,
        recorded.known,
    )


def captured(folder: Path, rows: RawRows, name: str = "usdm") -> None:
    """Write rows to the raw log of a capture."""
    with LogWriter(folder / "captures" / name / "raw", rows.batch().schema) as writer:
        writer.append(rows.batch())


def over_midnight(missing: int | None = None) -> RawRows:
    """Two minutes around midnight, a message every second; one may be missing."""
    rows = RawRows(now_ns=START_NS - 60 * 10**9)
    rows.rules()
    rows.connect(1)
    rows.snapshot(0, [["1.0", "5"]], [["9.0", "5"]])
    for number in range(120):
        rows.now_ns += 999_000_000
        if number != missing:
            event_ms = rows.now_ns // 10**6
            rows.message(
                1, depth(number + 1, number + 1, number, [["1.0", f"{number + 1}"]], event_ms=event_ms)
            )
    return rows


def run(tmp_path: Path, **sections: Any) -> tuple[DataStore, CaptureIngest]:
    """A store and the ingest over `tmp_path`."""
    settings = load_settings(write_settings(tmp_path, keys=KEYS, **sections))
    store = DataStore(settings.data_root)
    return store, CaptureIngest(store, settings)


def test_days_are_cut_by_arrival(tmp_path: Path) -> None:
    """Each row is in one day; the chain over midnight is proven, and the manifest says whether the day is complete."""
    captured(tmp_path, over_midnight())
    store, ingest = run(tmp_path)
    first, second = (ingest.run(key).manifest for key in KEYS)
    numbers = [[row["sequence_number"] for row in store.table("raw_deltas", key).to_pylist()] for key in KEYS]
    assert numbers[0] + numbers[1] == list(range(1, 121))
    assert numbers[0][-1] in (59, 60)
    assert (first.metadata["capture"]["complete"], second.metadata["capture"]["complete"]) == (True, False)
    assert first.fixed_point == FixedPoint(8, 8, 10**7, 10**5)
    assert [store.manifest("snapshots", key).main_rows for key in KEYS] == [1, 0]


@pytest.mark.parametrize("missing", [30, 58, 59, 60, 61, 90])
def test_a_gap_is_in_the_day_of_the_message_behind_it(tmp_path: Path, missing: int) -> None:
    """A message that is missing anywhere, at midnight too, is one gap of one day."""
    captured(tmp_path, over_midnight(missing))
    store, ingest = run(tmp_path)
    found = []
    for key in KEYS:
        manifest = ingest.run(key).manifest
        for gap in manifest.metadata["capture"]["gaps"]:
            first = store.table("raw_deltas", key).column("prev_final_update_id").to_pylist()
            assert gap["before_id"] in first
            found.append((gap["after_id"], gap["before_id"]))
    assert found == [(missing, missing + 1)]


def test_the_same_bytes_again(tmp_path: Path) -> None:
    """A second run publishes the same partitions, also when the log's rows lie in other segments."""
    captured(tmp_path, over_midnight())
    _, ingest = run(tmp_path)
    before = ingest.run(KEYS[0]).manifest.fingerprint
    with LogWriter(tmp_path / "captures" / "usdm" / "raw", over_midnight().batch().schema) as writer:
        writer.rotate()
    assert ingest.run(KEYS[0]).manifest.fingerprint == before


def busy_midnight(seed: int) -> RawRows:
    """Two connections around midnight with losses of each and of both, tickers, trades and snapshots."""
    random = Random(seed)
    rows = RawRows(now_ns=START_NS - 130 * 10**9)
    rows.rules()
    for connection in (1, 2):
        rows.connect(connection, ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"])
    for number in range(1, 320):
        rows.now_ns += random.randint(0, 1_600_000_000)
        if number % 60 == 1:
            rows.snapshot(number - 1, [["1.0", "5"]], [["9.0", "5"]])
        event_ms = rows.now_ns // 10**6
        sent = depth(number, number, number - 1, [["1.0", f"{number}"]], [["9.0", "1"]], event_ms)
        for connection in (1, 2):
            if random.random() < 0.8:
                rows.message(connection, sent)
            if random.random() < 0.5:
                rows.message(connection, ticker(number, e="bookTicker", E=event_ms, T=event_ms))
            if random.random() < 0.2:
                rows.message(connection, trade(number, X="MARKET"))
    return rows


@given(st.integers(0, 5), st.lists(st.floats(0, 1), max_size=12), st.floats(0, 1), st.integers(1, 40))
@hypothesis.settings(max_examples=25, deadline=None)
def test_live_and_late_are_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, places: list[float], end: float, killed_after: int
) -> None:
    """Four partitions and live logs do not depend on frames, segments, interruptions, or when they are made."""
    rows, late, live = busy_midnight(seed), tmp_path_factory.mktemp("late"), tmp_path_factory.mktemp("live")
    captured(late, rows)
    store, ingest = run(late)
    ingest.run(KEYS[0])
    wanted = {name: store.manifest(name, KEYS[0]).fingerprint for name in PARTITIONS}

    # The same log while it is being written: it has just passed the day's end, or has gone on for a while.
    times = [row["received_time"] for row in rows.rows]
    over = next(at for at, time in enumerate(times) if time >= START_NS + WARM_UP_NS) + 1
    stop = over + int(end * (len(times) - over))
    edges = sorted({0, *(int(place * stop) for place in places), stop})
    capture, write, left = live / "captures" / "usdm", IdempotentLog.write, [killed_after]

    def killed(self: IdempotentLog, table: pa.Table, *, whole: bool = False) -> None:
        write(self, table, whole=whole)
        left[0] -= 1
        if not left[0]:
            raise KilledError

    with LogWriter(capture / "raw", rows.batch().schema, row_group_rows=7) as writer:
        for begin, behind in itertools.pairwise(edges):
            writer.append(rows.batch(begin, behind))
            if behind % 2:
                writer.rotate()
            with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
                patch.setattr(IdempotentLog, "write", killed)
                LiveDecoding(capture / "raw", capture / "live").run(lambda: False)
        store, ingest = run(live)
        ingest.run(KEYS[0])
        assert {name: store.manifest(name, KEYS[0]).fingerprint for name in PARTITIONS} == wanted
        LiveDecoding(capture / "raw", capture / "live").run(lambda: False)
    (folder,) = (capture / "live").glob("exchange=*/symbol=*/from=*")
    for name in PARTITIONS:
        found = pa.concat_tables(
            [pa.Table.from_batches([part.batch]) for part in LogReader(folder / name).read()]
        )
        published = store.table(name, KEYS[0]).to_pylist()
        assert found.slice(0, len(published)).to_pylist() == published
        assert published


@pytest.mark.parametrize("messages", [1, 50])
@pytest.mark.parametrize("has_asks", [True, False])
@pytest.mark.parametrize("has_evidence", [True, False])
def test_a_short_day_goes_through_every_asset(
    tmp_path: Path, messages: int, has_asks: bool, has_evidence: bool
) -> None:
    """A capture that has just begun, with one snapshot and a wide spread: no warning, and nothing is called exact."""
    rows = RawRows(now_ns=START_NS + 3_600 * 10**9)
    rows.rules()
    rows.connect(1)
    rows.snapshot(0, [["1.0", "5"]], [["9.0", "1"]] if has_asks else [])
    for number in range(1, messages + 1):
        rows.now_ns += 10**9
        event_ms = rows.now_ns // 10**6
        rows.message(1, depth(number, number, number - 1, [["1.0", f"{number}"]], event_ms=event_ms))
        if has_evidence:
            rows.message(1, ticker(number, a="9.0", e="bookTicker", E=event_ms, T=event_ms))
            rows.message(1, trade(number, X="MARKET", E=event_ms))
    captured(tmp_path, rows)
    store, _ = run(tmp_path)
    chosen = load_settings(write_settings(tmp_path, keys=KEYS))
    for component in (DayIngest, GapReporter, DataAssessor, Reconstructor):
        component(store, chosen).run(KEYS[1])
    report = FidelityReporter(store, chosen).run(KEYS[1])
    FeatureBuilder(store, chosen).run(KEYS[1])
    unmeasured = {gate.name for gate in report.gates if not gate.n}
    assert {"bbo_exact_seq", "topk_exact"} <= unmeasured
    assert not report.passed
    assert "not measured: " in store.manifest("fidelity_report", KEYS[1]).metadata["verdict"]


def test_a_log_without_its_oldest_segment(tmp_path: Path) -> None:
    """Old segments may be removed from the front, as long as the rules of the instrument are there."""
    rows, early = over_midnight(), RawRows(now_ns=START_NS - 2 * DAY_NS)
    early.add("clock", detail={"offset_ns": 0})
    folder = tmp_path / "captures" / "usdm" / "raw"
    with LogWriter(folder, rows.batch().schema) as writer:
        writer.append(early.batch())
        writer.rotate()
        writer.append(rows.batch())
    (folder / f"{0:020d}.parquet").unlink()
    store, ingest = run(tmp_path)
    assert ingest.run(KEYS[0]).manifest.metadata["capture"]["complete"]
    assert store.table("raw_deltas", KEYS[0]).num_rows > 50


def test_what_cannot_be_published_is_refused(tmp_path: Path) -> None:
    """No capture, two captures, decimals, an instrument without messages, a numbering that begins anew."""
    store, ingest = run(tmp_path)
    with pytest.raises(SourceMissingError, match="none"):
        ingest.run(KEYS[0])
    captured(tmp_path, over_midnight())
    with pytest.raises(SourceMissingError, match="none"):
        ingest.run(PartitionKey(KEYS[0].instrument, KEYS[0].day.replace(day=1)))
    captured(tmp_path, over_midnight(), "other")
    with pytest.raises(SourceMissingError, match="other, usdm"):
        ingest.run(KEYS[0])
    assert not store.partitions("raw_deltas")


def test_a_numbering_that_begins_anew_is_refused(tmp_path: Path) -> None:
    """A partition is in order of its numbers: such a day stays in its live logs."""
    rows = over_midnight()
    rows.now_ns += 61 * 10**9
    rows.message(1, depth(1, 5, 0, [["1.0", "1"]], event_ms=START_NS // 10**6 + 10_000_000))
    captured(tmp_path, rows)
    store, ingest = run(tmp_path)
    with pytest.raises(SourceValueError, match="anew"):
        ingest.run(KEYS[1])
    assert not store.partitions("raw_deltas")


def test_decimals_are_refused(tmp_path: Path) -> None:
    """The exchange's own decimals fit pips: a setting that asks for decimal128 is a contradiction."""
    captured(tmp_path, over_midnight())
    settings = load_settings(write_settings(tmp_path, keys=KEYS, instrument={"precision": "decimal128"}))
    with pytest.raises(PrecisionError, match="int64"):
        CaptureIngest(DataStore(settings.data_root), settings).run(KEYS[0])


def test_a_configured_tick_is_held_against_the_rules(tmp_path: Path) -> None:
    """A tick that the rules contradict is named, as for files."""
    captured(tmp_path, over_midnight())
    settings = load_settings(write_settings(tmp_path, keys=KEYS, instrument={"tick": 0.3}))
    assert settings.instrument(KEYS[0].instrument).tick == Decimal("0.3")
    manifest = CaptureIngest(DataStore(settings.data_root), settings).run(KEYS[0]).manifest
    assert manifest.metadata["contradicted"] == ["tick"]
