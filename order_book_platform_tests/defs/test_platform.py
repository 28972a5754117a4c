"""The resource and its progress in a run's log."""

from __future__ import annotations

from datetime import UTC, datetime

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.defs import from_dagster, partitions_of, to_dagster
from order_book_platform.defs.platform import LoggedProgress, Platform
from order_book_platform.model import PartitionKey
from order_book_platform_tests.manual_clock import ManualClock


def test_platform_reads_the_settings(platform: Platform) -> None:
    """Settings and data root come from the file."""
    assert platform.settings_file.name == "platform.toml"
    assert platform.store.root == platform.settings_file.parent / "store"


def test_progress_is_thinned_out() -> None:
    """A line when a stage ends, and one every five seconds before that."""
    lines: list[str] = []
    clock = ManualClock()
    progress = LoggedProgress(lines.append, clock)
    for done in range(0, 100, 10):
        progress("read", done, 100)
        clock.advance(NS_PER_SECOND)
    progress("read", 100, 100)
    clock.advance(6 * NS_PER_SECOND)
    progress("sort", 1234, 0)
    assert lines == ["read: 50 of 100", "read: 100 of 100", "sort: 1,234"]


def test_keys_survive_dagster(platform: Platform) -> None:
    """Dagster's key of our key is one of the partitions and becomes our key again."""
    partitions = partitions_of(platform.settings)
    keys = partitions.get_partition_keys(current_time=datetime(2024, 8, 11, tzinfo=UTC))
    assert len(keys) == 6
    for text in keys:
        assert to_dagster(from_dagster(text)) == text
    assert from_dagster(keys[0]) == PartitionKey.parse("BINANCE:BTC-USDT", "2024-08-08")
