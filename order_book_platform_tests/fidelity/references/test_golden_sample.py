"""A golden sample: what it shows, what it refuses, and what it leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.errors import EvidenceError, PartitionCorruptError, PartitionMissingError
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import later, metrics_by_gate
from order_book_platform_tests.fidelity.partitions import KEY, POINT, make_settings, measure, publish_books
from order_book_platform_tests.oracle import OracleReplay


def test_a_sample_of_the_same_deltas_is_refused(
    store: DataStore, tmp_path: Path, replayed: OracleReplay
) -> None:
    """It would agree with any mistake: both are made from the same messages."""
    other = DataStore(tmp_path / "copy")
    for each in (store, other):
        with each.write("reconstructed_books", KEY) as writer:
            writer.metadata.update({**POINT.to_metadata(), "cadence": "change"})
            writer.inputs["raw_deltas"] = "ab" * 32
            writer.parquet("books-00000.parquet", replayed.rows.schema).write(replayed.rows)
            writer.parquet("used_snapshots.parquet", replayed.used.schema).write(replayed.used)
    with pytest.raises(EvidenceError, match="very same raw_deltas"):
        measure(store, golden=other)


@pytest.mark.parametrize(("share", "refused"), [(0.0, True), (0.05, True), (0.2, False)])
def test_a_sample_of_the_same_recording_is_refused(
    store: DataStore, golden: DataStore, replayed: OracleReplay, share: float, refused: bool
) -> None:
    """Deltas written anew have another fingerprint, but the arrival times of one recorder are nobody else's."""
    publish_books(golden, later(replayed.rows, share), replayed.used)
    if refused:
        with pytest.raises(EvidenceError, match="the very same received_time"):
            measure(store, golden=golden)
    else:
        assert metrics_by_gate(measure(store, golden=golden))["bbo_exact_seq_golden"].value == 1.0


def test_a_sample_without_a_common_number_is_not_taken_for_a_copy(
    store: DataStore, golden: DataStore, replayed: OracleReplay
) -> None:
    """Nothing in common is nothing the same: it is measured, and shows nothing."""
    rows = pl.from_arrow(replayed.rows).with_columns(pl.col("sequence_number") + 10**9)
    publish_books(golden, rows.to_arrow().cast(books_schema()), replayed.used)
    assert measure(store, golden=golden).references["golden"].held_out == 0


def test_a_sample_of_another_tick_is_refused(
    store: DataStore, golden: DataStore, replayed: OracleReplay
) -> None:
    """Pips of other decimals cannot be compared; the error says which."""
    publish_books(golden, replayed.rows, replayed.used, tick_pips=5)
    with pytest.raises(EvidenceError, match=r"tick 0\.05"):
        measure(store, golden=golden)


def test_a_sample_of_another_symbol_is_refused(store: DataStore, golden: DataStore) -> None:
    """A folder copied to this symbol's place still says what it is of."""
    manifest = golden.folder("reconstructed_books", KEY) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["symbol"] = "SIMULATED:ETH-USDT"
    manifest.write_text(json.dumps(content))
    with pytest.raises(PartitionCorruptError, match="ETH-USDT"):
        measure(store, golden=golden)


def test_an_empty_sample_is_named(store: DataStore, tmp_path: Path) -> None:
    """No books of the day there: the error names the other root."""
    with pytest.raises(PartitionMissingError, match="elsewhere"):
        measure(store, golden=DataStore(tmp_path / "elsewhere"))


def test_the_report_names_the_sample_among_its_inputs(
    store: DataStore, golden: DataStore, tmp_path: Path
) -> None:
    """Its fingerprint stands in the manifest, its counts and gates in the report."""
    reporter = FidelityReporter(store, make_settings(tmp_path))
    report = reporter.run(KEY, golden=golden)
    fingerprint = golden.manifest("reconstructed_books", KEY).fingerprint
    assert report.manifest.inputs["golden/reconstructed_books"] == fingerprint
    assert store.report("fidelity_report", KEY)["references"]["golden"]["held_out"] > 0
    assert "bbo_exact_seq_golden" in {gate.name for gate in report.gates}
    assert "golden" not in reporter.run(KEY).result.references
