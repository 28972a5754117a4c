"""The names of the datasets and of their main files."""

from __future__ import annotations

DATASETS: dict[str, str] = {
    "raw_deltas": "deltas.parquet",
    "snapshots": "snapshots.parquet",
    "tickers": "tickers.parquet",
    "trades": "trades.parquet",
    "sequence_gap_report": "gaps.parquet",
    "data_assessment": "report.json",
    "reconstructed_books": "books-*.parquet",
    "fidelity_report": "metrics.parquet",
    "rl_features": "features.parquet",
}
"""Dataset name to the file that `scan` reads; with a star, the parts that follow each other in order of their names."""

_SIBLINGS = {"snapshots": "raw_deltas", "tickers": "raw_deltas", "trades": "raw_deltas"}


def asset_of(dataset: str) -> str:
    """The asset that makes a dataset: its own, or the one it is published with."""
    return _SIBLINGS.get(dataset, dataset)
