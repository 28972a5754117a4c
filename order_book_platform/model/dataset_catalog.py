"""The published datasets: name, main table, the asset that makes each, and the version of its schema."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset below the data root.

    Attributes:
        name: Name of its folder, which calls such as `store.rows("raw_deltas", key)` refer to.
        table_file: File of a partition that `scan` reads; with a star, a table in several parts, in the order of
            their names. A dataset whose main file is `report.json` has no table.
        asset: Dagster asset that publishes it: its own, or the one that it is published together with.
        component: Folder of the package whose component writes it.
        schema_version: Version of its files' names, columns and meanings. Raise it when a reader of the present
            version would misunderstand files that are written from now on.
    """

    name: str
    table_file: str
    asset: str
    component: str
    schema_version: int


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("raw_deltas", "deltas.parquet", "raw_deltas", "sources", 1),
        Dataset("snapshots", "snapshots.parquet", "raw_deltas", "sources", 1),
        Dataset("tickers", "tickers.parquet", "raw_deltas", "sources", 1),
        Dataset("trades", "trades.parquet", "raw_deltas", "sources", 1),
        Dataset("sequence_gap_report", "gaps.parquet", "sequence_gap_report", "assess", 1),
        Dataset("data_assessment", "report.json", "data_assessment", "assess", 1),
        Dataset("reconstructed_books", "books-*.parquet", "reconstructed_books", "reconstruct", 1),
        Dataset("fidelity_report", "metrics.parquet", "fidelity_report", "fidelity", 1),
        Dataset("rl_features", "features.parquet", "rl_features", "rl", 1),
    )
}
"""Every dataset by its name, in the order in which the assets are made."""
