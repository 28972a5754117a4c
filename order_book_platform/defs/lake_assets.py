"""The lake's source files as external assets, so that lineage starts where the data come from."""

from collections.abc import Sequence

import dagster as dg

from order_book_platform.settings import Settings

GROUP = "order_books"
"""One group for all assets: the UI draws several as closed boxes, and lineage is what people come for."""

TABLES = {
    "book_delta_v2": (
        "It has one row per changed level with the level's absolute size; 0 removes the level. "
        "It starts mid-stream and has no resets."
    ),
    "book": (
        "It holds the vendor's own book, 20 levels a side, about every 100 ms. The platform seeds its books from "
        "some of these rows and measures them against the others."
    ),
    "trades": "It has one row per trade, with the aggressor's side.",
}
"""Tables of the lake that the platform reads, with their descriptions for the UI."""


def lake_specs(settings: Settings, partitions: dg.PartitionsDefinition) -> Sequence[dg.AssetSpec]:
    """Declare one external asset per Crypto Lake table that is read."""
    return [
        dg.AssetSpec(
            dg.AssetKey(["lake", table]),
            description=f"The table `{table}` of Crypto Lake. {text}",
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
