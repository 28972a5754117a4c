"""The lake's tables as external assets: described, partitioned like the rest, and with the path of their files."""

from __future__ import annotations

from order_book_platform.defs import Platform, partitions_of
from order_book_platform.defs.lake_assets import GROUP, TABLES, lake_specs


def test_each_table_is_an_external_asset(platform: Platform) -> None:
    """Key, group, partitions and the pattern of the files follow from table and settings."""
    partitions = partitions_of(platform.settings)
    specs = lake_specs(platform.settings, partitions)
    assert [spec.key.to_user_string() for spec in specs] == [f"lake/{table}" for table in TABLES]
    for table, spec in zip(TABLES, specs, strict=True):
        assert spec.group_name == GROUP
        assert spec.partitions_def == partitions
        assert spec.description == f"The table `{table}` of Crypto Lake. {TABLES[table]}"
        files = str(spec.metadata["files"].value)
        assert files.startswith(str(platform.settings.lake_root / table))
        assert files.endswith("*.parquet")
