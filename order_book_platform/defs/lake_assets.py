"""The source files as external assets, so that lineage starts where the data come from."""

from collections.abc import Sequence

import dagster as dg

from order_book_platform.settings import Settings

GROUP = "order_books"
"""One group for all assets: the UI draws several as closed boxes, and lineage is what people come for."""

TABLES = {
    "book_delta_v2": "One row per changed level, absolute sizes, 0 removes. Starts mid-stream, without resets.",
    "book": "The vendor's own book, 20 levels a side, every 100 ms or so: seed and evidence of ours.",
    "trades": "Trades with the aggressor's side.",
}


def lake_key(table: str) -> dg.AssetKey:
    """Asset key of a Crypto Lake table."""
    return dg.AssetKey(["lake", table])


def lake_specs(settings: Settings, partitions: dg.PartitionsDefinition) -> Sequence[dg.AssetSpec]:
    """One external asset per Crypto Lake table that is read."""
    return [
        dg.AssetSpec(
            lake_key(table),
            description=f"Crypto Lake `{table}`. {text}",
            group_name=GROUP,
            kinds={"parquet", "source"},
            partitions_def=partitions,
            metadata={
                "files": dg.MetadataValue.path(
                    str(settings.lake_root / table / "exchange=…" / "symbol=…" / "dt=…" / "*.parquet")
                )
            },
        )
        for table, text in TABLES.items()
    ]
