"""The sensor of captured days: one run for each day and symbol that a capture has recorded to its end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND
from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions
from order_book_platform.defs.capture_sensor import evaluate, parse_cursor
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.settings import Settings, load_settings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.sources.binance.recording_import import Recording, import_recording
from order_book_platform.storage import LogWriter
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.sources.binance.raw_rows import START_NS, RawRows, depth

PERP, COIN, SPOT = "BINANCE_FUTURES:BTC-USDT-PERP", "BINANCE_DELIVERY:BTC-USD-PERP", "BINANCE:BTC-USDT"
RAW_DELTAS = dg.AssetKey("raw_deltas")
CLOCK = ManualClock(START_NS + 10 * NS_PER_DAY)


def settings_of(folder: Path, *symbols: str) -> Settings:
    """Settings of some symbols from 2024-08-08 on."""
    return load_settings(
        write_settings(folder, keys=[PartitionKey.parse(each, "2024-08-08") for each in symbols])
    )


def capture(settings: Settings, name: str = "usdm", keys: MasterKeys | None = None) -> None:
    """Write a capture of BTC from a minute before midnight to two minutes after it, a message every second."""
    rows = RawRows(now_ns=START_NS - 60 * NS_PER_SECOND)
    rows.rules()
    rows.connect(1)
    rows.snapshot(0, [["1.0", "5"]], [["9.0", "5"]])
    for number in range(180):
        rows.now_ns += 999_000_000
        event_ms = rows.now_ns // 10**6
        message = depth(number + 1, number + 1, number, [["1.0", f"{number + 1}"]], event_ms=event_ms)
        rows.message(1, message)
    with LogWriter(settings.capture_root / name / "raw", rows.batch().schema, keys=keys) as writer:
        writer.append(rows.batch())


def tick(settings: Settings, cursor: str | None = None) -> tuple[list[tuple[str | None, str | None]], str]:
    """Evaluate once; returns run keys with partitions, and the cursor."""
    result, _ = evaluate(settings, parse_cursor(cursor), CLOCK)
    requests: list[tuple[str | None, str | None]] = [
        (each.run_key, str(each.partition_key)) for each in result.run_requests or ()
    ]
    assert result.cursor is not None
    return requests, result.cursor


def test_a_captured_day_is_requested_once(tmp_path: Path) -> None:
    """By its partition as run key; the next tick goes on from the cursor, and one from the start gives the same key."""
    settings = settings_of(tmp_path, PERP)
    capture(settings)
    day = f"2024-08-08|{PERP}"
    requests, cursor = tick(settings)
    assert requests == [(day, day)]
    assert tick(settings, cursor) == ([], cursor)
    assert tick(settings)[0] == requests


def test_nothing_is_captured(tmp_path: Path) -> None:
    """Without any capture a tick does nothing, also where the key file that is named does not exist."""
    settings = settings_of(tmp_path, PERP)
    assert tick(settings) == ([], "{}")
    away = settings.model_copy(
        update={"capture": settings.capture.model_copy(update={"key_file": tmp_path / "absent"})}
    )
    assert tick(away) == ([], "{}")


def test_recordings_over_midnight(recordings: Path, tmp_path: Path) -> None:
    """COIN-M and spot go on into the next day: their first days are requested, in the order of the symbols."""
    settings = settings_of(tmp_path, PERP, COIN, SPOT)
    for market, symbol, name in (
        ("coinm", COIN, "binance_coinm/btcusd_perp"),
        ("spot", SPOT, "binance_spot/btcusdt"),
    ):
        files = [recordings / "captures" / f"{name}_2024080{day}.gz" for day in (8, 9)]
        recording = Recording(MARKETS[market], Instrument.parse(symbol), files)
        import_recording(
            recording, settings.capture_root / market / "raw", Decimal("0.01"), Decimal("0.00001")
        )
    requests, cursor = tick(settings)
    assert [key for key, _ in requests] == [f"2024-08-08|{SPOT}", f"2024-08-08|{COIN}"]
    assert tick(settings, cursor)[0] == []


def test_a_capture_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    """Without the key of one capture the days of the others are requested, and the problem is told by its name."""
    settings = settings_of(tmp_path, PERP)
    capture(settings)
    capture(settings, "locked", MasterKeys.new("elsewhere"))
    result, problems = evaluate(settings, {}, CLOCK)
    assert [each.run_key for each in result.run_requests or ()] == [f"2024-08-08|{PERP}"]
    (problem,) = problems
    assert problem.startswith("Capture locked: ")
    result, _ = evaluate(settings, parse_cursor(result.cursor), CLOCK)
    assert "Capture locked: " in str(result.skip_reason.skip_message if result.skip_reason else "")


def test_days_that_are_made_elsewhere_are_left_alone(tmp_path: Path) -> None:
    """A day before first_day is no partition, and one of which the lake has deltas is made from those."""
    settings = settings_of(tmp_path, PERP)
    capture(settings)
    later = settings.model_copy(update={"first_day": PartitionKey.parse(PERP, "2024-08-09").day})
    assert tick(later)[0] == []
    folder = settings.lake_root / "book_delta_v2" / PartitionKey.parse(PERP, "2024-08-08").path
    folder.mkdir(parents=True)
    (folder / "1.parquet").touch()
    assert tick(settings)[0] == []


# Dagster's own tags of a partition break its own rule.
@pytest.mark.filterwarnings("ignore:Non-compliant tag keys:DeprecationWarning")
def test_dagster_runs_what_the_sensor_requests(tmp_path: Path) -> None:
    """Evaluated as the daemon does it, the request names a partition of the job, whose run makes the day's deltas."""
    settings = settings_of(tmp_path, PERP)
    capture(settings)
    platform = Platform.from_file(tmp_path / "settings.toml")
    definitions = build_definitions(platform)
    sensor = definitions.resolve_sensor_def("captured_days")
    assert sensor.job_name == MATERIALIZE_JOB
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def())
        (request,) = sensor.evaluate_tick(context).run_requests or ()
        result = definitions.resolve_job_def(MATERIALIZE_JOB).execute_in_process(
            instance=instance, partition_key=request.partition_key, asset_selection=[RAW_DELTAS]
        )
    (event,) = result.get_asset_materialization_events()
    assert (event.asset_key, event.partition) == (RAW_DELTAS, f"2024-08-08|{PERP}")
