"""The component: what it publishes, what it refuses, and that a refusal leaves the old partition alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.frame_schemas import features_schema
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.errors import (
    BatchError,
    OrderBookPlatformError,
    PartitionMissingError,
    SettingsError,
)
from order_book_platform.model import BookFlag, FixedPoint, Severity
from order_book_platform.rl import FeatureBuilder, FeatureResult
from order_book_platform.rl.features.feature_builder import (
    BYTES_PER_ROW,
    GATES,
    FeatureQuality,
    expected_bytes,
    gate_descriptions,
)
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, ParquetRows
from order_book_platform_tests.rl.naive import SECOND, BookRow, Trade
from order_book_platform_tests.rl.streams import DEPTH, KEY, SETTINGS, START, TICK, book_table, trade_table

SEEDED = int(BookFlag.SEEDED)


def clean_rows(count: int = 40, step_ns: int = SECOND // 10) -> list[BookRow]:
    """Seeded rows, one in each step, whose best bid grows by one pip a row."""
    return [
        BookRow(
            START + i * step_ns + 5,
            START + i * step_ns + 2_000_005,
            SEEDED,
            DEPTH,
            DEPTH,
            tuple((1_000 - TICK * m, 5 + i * (m == 0)) for m in range(DEPTH)),
            tuple((1_020 + TICK * m, 7) for m in range(DEPTH)),
        )
        for i in range(count)
    ]


def publish(
    store: DataStore, rows: list[BookRow], trades: list[Trade] | None = None, **metadata: Any
) -> None:
    """Books and trades where the builder looks for them."""
    fixed_point = FixedPoint(tick_pips=TICK).to_metadata()
    with store.write("reconstructed_books", KEY) as writer:
        writer.parquet("books-00000.parquet", books_schema(DEPTH)).write(book_table(rows))
        writer.metadata.update({**fixed_point, "depth": DEPTH, "cadence": "change", **metadata})
    with store.write("trades", KEY) as writer:
        writer.parquet("trades.parquet", TRADES_SCHEMA).write(trade_table(trades or []))
        writer.metadata.update(fixed_point)


def build(store: DataStore, batch_rows: int = 1_000) -> FeatureResult:
    """Run the builder with the small settings of these tests."""
    settings = Settings(
        lake_root=store.root,
        data_root=store.root,
        first_day="2024-08-08",
        instruments=[{"symbol": KEY.instrument.key}],
        features=SETTINGS,
    )
    return FeatureBuilder(store, settings, batch_rows=batch_rows).run(KEY)


@pytest.fixture
def store(tmp_path: Path) -> DataStore:
    """An empty data root."""
    return DataStore(tmp_path)


def test_publishes_schema_manifest_and_gates(store: DataStore) -> None:
    """The partition says what it is, from what, and how good."""
    rows = clean_rows()
    rows[20] = replace(rows[20], flags=SEEDED | BookFlag.GAP)
    publish(store, rows, [Trade(START + SECOND, True, 3)])
    result = build(store)
    table = store.table("rl_features", KEY)
    assert table.schema.equals(features_schema((3, 1), 2, (SECOND, 2 * SECOND)))
    assert result.manifest.main_rows == table.num_rows == 39
    assert result.manifest.inputs == {
        name: store.manifest(name, KEY).fingerprint for name in ("reconstructed_books", "trades")
    }
    assert result.manifest.fixed_point == FixedPoint(tick_pips=TICK)
    metadata = dict(result.manifest.metadata)
    for name in FixedPoint().to_metadata():
        del metadata[name]
    assert metadata == {
        "clock_ns": SECOND // 10,
        "flow_window_ns": SECOND // 2,
        "horizons_ns": [SECOND, 2 * SECOND],
        "imbalance_levels": [3, 1],
        "mlofi_levels": 2,
        "cadence": "change",
        "first_time": START + SECOND // 10,
        "last_time": START + 39 * SECOND // 10,
        "counts": {
            "rows": 39,
            "valid_rows": 38,
            "invalid_rows": 1,
            "invalid_spans": 1,
            "crossed_rows": 0,
            "gap_rows": 2,
            "ofi_null_rows": 11,
            "book_rows": 40,
            "book_time_regressions": 0,
            "trade_rows": 1,
            "trade_time_regressions": 0,
        },
    }
    gates = {gate.name: gate for gate in result.gates}
    assert list(gates) == ["feature_rows", "valid_share", "ofi_share", "qi_share", "time_regressions"]
    assert gates["valid_share"].value == 38 / 39
    assert not gates["valid_share"].passed
    assert gates["valid_share"].severity is Severity.WARN
    assert not gates["ofi_share"].passed
    assert all(gates[name].passed for name in ("feature_rows", "qi_share", "time_regressions"))


def test_clean_books_pass_every_gate(store: DataStore) -> None:
    """Clean data give no warning, so that a warning means something."""
    publish(store, clean_rows(400))
    assert all(gate.passed for gate in build(store).gates)


def test_times_that_go_back_are_counted(store: DataStore) -> None:
    """A row that goes back in time is kept, counted, and fails its gate."""
    rows = clean_rows()
    rows[9] = replace(rows[9], origin_time=rows[5].origin_time)
    publish(store, rows, [Trade(START + 2 * SECOND, True, 1), Trade(START + SECOND, True, 1)])
    result = build(store)
    counts = result.manifest.metadata["counts"]
    assert (counts["book_time_regressions"], counts["trade_time_regressions"]) == (1, 1)
    assert [gate.name for gate in result.gates if not gate.passed and "time" in gate.name] == [
        "time_regressions"
    ]


def test_same_input_gives_the_same_bytes(store: DataStore) -> None:
    """A rerun, and one that reads row by row, publish the same file."""
    publish(store, clean_rows(), [Trade(START + SECOND, True, 3)])
    first = build(store).manifest.to_bytes()
    assert build(store).manifest.to_bytes() == first
    assert build(store, batch_rows=1).manifest.to_bytes() == first


def test_books_without_rows(store: DataStore) -> None:
    """No book rows give an empty partition that fails its gates."""
    publish(store, [])
    result = build(store)
    assert result.manifest.main_rows == 0
    assert result.manifest.metadata["first_time"] is None
    assert not any(gate.passed for gate in result.gates)


def test_one_book_row_proves_no_step(store: DataStore) -> None:
    """Only an event beyond a step shows that the step is complete."""
    publish(store, clean_rows(1))
    assert build(store).manifest.main_rows == 0


def test_long_silence_has_a_row_for_every_step(store: DataStore) -> None:
    """Hours without a message still give rows, whose windows hold no flow."""
    rows = clean_rows(30)
    later = clean_rows(31)[30:]
    rows.append(replace(later[0], origin_time=START + 7_200 * SECOND))
    publish(store, rows)
    assert build(store).manifest.main_rows == 72_000 - 1
    table = store.table("rl_features", KEY)
    assert table.column("ofi_1")[50_000].as_py() == 0
    assert table.column("stale_ms")[50_000].as_py() == 4_997_199
    assert table.column("ret_2s")[50_000].as_py() == 0


def test_far_prices_do_not_fit_ticks(store: DataStore) -> None:
    """A spread beyond int32 ticks is null, not wrapped."""
    rows = [replace(row, asks=((2**40 * TICK + 1_000, 7), *row.asks[1:])) for row in clean_rows()]
    publish(store, rows)
    build(store)
    table = store.table("rl_features", KEY)
    assert table.column("spread_ticks").null_count == table.num_rows
    assert table.column("mid2").null_count == 0


def refused(store: DataStore, kind: type[OrderBookPlatformError]) -> OrderBookPlatformError:
    """The error of a run that has to leave the published partition alone."""
    before = store.manifest("rl_features", KEY).to_bytes() if store.exists("rl_features", KEY) else None
    with pytest.raises(kind) as caught:
        build(store)
    after = store.manifest("rl_features", KEY).to_bytes() if store.exists("rl_features", KEY) else None
    assert after == before
    if before:
        store.check("rl_features", KEY)
    return caught.value


def test_refuses_cadence_grid(store: DataStore) -> None:
    """Between rows of a grid the changes are lost."""
    publish(store, clean_rows(), cadence="grid")
    error = refused(store, SettingsError)
    assert 'cadence "grid"' in error.found
    assert "reconstruct.cadence" in error.where


def test_refuses_more_levels_than_the_books_have(store: DataStore) -> None:
    """Features of three levels need books of three."""
    publish(store, clean_rows(), depth=2)
    error = refused(store, SettingsError)
    assert (error.expected, error.found) == ("features of at most 2 levels, the depth of the books", "3")


@pytest.mark.parametrize("dataset", ["reconstructed_books", "trades"])
def test_refuses_missing_inputs(store: DataStore, dataset: str) -> None:
    """What has not been published is named."""
    with pytest.raises(PartitionMissingError):
        build(store)
    if dataset == "trades":
        with store.write("reconstructed_books", KEY) as writer:
            writer.parquet("books-00000.parquet", books_schema(DEPTH)).write(book_table(clean_rows()))
        assert "trades" in refused(store, PartitionMissingError).expected
    else:
        assert "reconstructed_books" in refused(store, PartitionMissingError).expected


@pytest.mark.parametrize("ns", [-2 * NS_PER_DAY, 3 * NS_PER_DAY])
def test_refuses_times_far_from_the_day(store: DataStore, ns: int) -> None:
    """One wrong time would stop the clock for all rows after it; the old partition stays."""
    publish(store, clean_rows())
    build(store)
    rows = clean_rows()
    rows[30] = replace(rows[30], origin_time=rows[30].origin_time + ns)
    publish(store, rows)
    assert "2024-08-08" in refused(store, BatchError).expected
    publish(store, clean_rows(), [Trade(START + ns, True, 1)])
    assert "origin_time" in refused(store, BatchError).where


def test_refuses_sums_beyond_int64(store: DataStore) -> None:
    """A flow that int64 cannot hold is refused, not wrapped; the same sizes one after the other are fine."""
    huge = 2**61
    rows = [
        replace(
            row,
            bids=((1_000 + TICK * i, huge), *row.bids[1:]),
            asks=tuple((10_000 + m, 1) for m in range(DEPTH)),
        )
        for i, row in enumerate(clean_rows())
    ]
    publish(store, rows[:1] + [replace(row, bids=rows[0].bids) for row in rows[1:]])
    build(store)
    publish(store, rows)
    with np.errstate(over="ignore"):
        error = refused(store, BatchError)
    assert "features.flow_window" in error.remedy
    assert "2024-08-08T00:00:00.500" in error.where


def test_progress_counts_book_rows(store: DataStore) -> None:
    """Progress ends at the number of rows there are."""
    publish(store, clean_rows())
    settings = Settings(
        lake_root=store.root,
        data_root=store.root,
        first_day="2024-08-08",
        instruments=[{"symbol": KEY.instrument.key}],
        features=SETTINGS,
    )
    seen: list[tuple[str, int, int]] = []
    FeatureBuilder(store, settings).run(KEY, lambda *call: seen.append(call))
    assert seen[-1] == ("features", 40, 40)


def test_default_schema_names() -> None:
    """The default settings give the documented columns and dtypes."""
    schema = features_schema((1, 5, 10, 20), 10, (SECOND, 10 * SECOND, 60 * SECOND))
    assert schema.names == [
        *("time", "mid2", "spread_ticks", "spread_bps", "wmid_off"),
        *("qi_1", "qi_5", "qi_10", "qi_20", "ofi_1"),
        *(f"mlofi_{level}" for level in range(1, 11)),
        *("n_updates", "n_trades", "tfi", "ret_1s", "ret_10s", "ret_60s", "rv_1s", "rv_10s", "rv_60s"),
        *("stale_ms", "latency_ms", "flags", "gap_flag", "crossed", "valid"),
    ]
    assert schema.field("ofi_1").type == pa.int64()
    assert schema.field("qi_1").type == pa.float32()
    assert [field.name for field in schema if field.nullable] == [
        *("mid2", "spread_ticks", "ofi_1", *(f"mlofi_{level}" for level in range(1, 11)), "latency_ms")
    ]


def test_room_for_features() -> None:
    """A row for each step of the clock between the first book and the last."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"origin_time": [START, START + 10 * SECOND]}), sink)
    assert expected_bytes(ParquetRows([sink.getvalue()]), SECOND // 10) == 101 * BYTES_PER_ROW
    empty = pa.BufferOutputStream()
    pq.write_table(pa.table({"origin_time": pa.array([], pa.int64())}), empty)
    assert expected_bytes(ParquetRows([empty.getvalue()]), SECOND // 10) == BYTES_PER_ROW


SCHEMA = features_schema((1, 5), 1, ())
NAN = float("nan")


def table(rows: list[dict[str, object]]) -> pa.Table:
    """Rows of features; what a row leaves out is 0, valid and known."""
    plain = {name: False if SCHEMA.field(name).type == pa.bool_() else 0 for name in SCHEMA.names}
    return pa.Table.from_pylist([{**plain, "valid": True, **row} for row in rows], schema=SCHEMA)


TABLES = [
    table([{"time": 10, "valid": False, "gap_flag": True}, {"time": 20, "ofi_1": None}, {"time": 30}]),
    table([]),
    table(
        [
            {"time": 40, "valid": False, "crossed": True},
            {"time": 50, "valid": False},
            {"time": 60, "qi_5": NAN},
        ]
    ),
]


@pytest.mark.parametrize("tables", [TABLES, [pa.concat_tables(TABLES)]], ids=["in parts", "at once"])
def test_counts_do_not_depend_on_the_parts(tables: list[pa.Table]) -> None:
    """Counts, spans of invalid rows and times are those of all rows, whatever the tables they came in."""
    quality = FeatureQuality((1, 5))
    for part in tables:
        quality.add(part)
    assert quality.to_metadata() == {
        "first_time": 10,
        "last_time": 60,
        "counts": {
            "rows": 6,
            "valid_rows": 3,
            "invalid_rows": 3,
            "invalid_spans": 2,
            "crossed_rows": 1,
            "gap_rows": 1,
            "ofi_null_rows": 1,
        },
    }
    assert quality.qi_rows == 2


def test_gates_hold_shares_against_their_bars() -> None:
    """Each gate has its share, the rows behind it and a note; all but the number of rows are warnings."""
    quality = FeatureQuality((1, 5))
    for part in TABLES:
        quality.add(part)
    gates = {gate.name: gate for gate in quality.gates(book_rows=1_000, book_time_regressions=1)}
    assert list(gates) == list(GATES)
    assert {name: (gate.value, gate.n, gate.passed) for name, gate in gates.items()} == {
        "feature_rows": (6, 1_000, True),
        "valid_share": (0.5, 6, False),
        "ofi_share": (5 / 6, 6, False),
        "qi_share": (2 / 3, 3, False),
        "time_regressions": (0.001, 1_000, True),
    }
    assert {name for name, gate in gates.items() if gate.severity is Severity.ERROR} == {"feature_rows"}
    assert gates["valid_share"].note == ("Rows with a two-sided, seeded book free of doubt; 2 spans are not.")
    assert gates["qi_share"].note == "Valid rows that know all the levels the imbalances need."


def test_a_share_of_nothing_fails() -> None:
    """Without rows there is nothing to show, and no gate holds."""
    gates = FeatureQuality((1,)).gates(book_rows=0, book_time_regressions=0)
    assert [gate.value for gate in gates] == [0, None, None, None, None]
    assert not any(gate.passed for gate in gates)


def test_descriptions_name_every_gate() -> None:
    """The checks of the UI have a sentence for each gate."""
    described = gate_descriptions()
    assert list(described) == list(GATES)
    assert described["feature_rows"] == "Number of rows of the sampling clock."
    assert described["time_regressions"] == ("Share of book rows whose origin_time lay below an earlier one.")
