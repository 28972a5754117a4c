"""Partition keys, there and back."""

from __future__ import annotations

from datetime import UTC, datetime

from order_book_platform.defs import Platform, from_dagster, partitions_of, to_dagster
from order_book_platform.model import PartitionKey


def test_keys_survive_dagster(platform: Platform) -> None:
    """Dagster's key of our key is one of the partitions and becomes our key again."""
    partitions = partitions_of(platform.settings)
    keys = partitions.get_partition_keys(current_time=datetime(2024, 8, 11, tzinfo=UTC))
    assert len(keys) == 6
    for text in keys:
        assert to_dagster(from_dagster(text)) == text
    assert from_dagster(keys[0]) == PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-08")
