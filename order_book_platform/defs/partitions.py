"""The partitions of every asset, (day, symbol), and the translation between Dagster's key and `PartitionKey`."""

import warnings

import dagster as dg

from order_book_platform.model import PartitionKey
from order_book_platform.settings import Settings

DAY = "day"
SYMBOL = "symbol"


def partitions_of(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Partition assets by UTC day, from `first_day` to the last finished one, and by listed symbol."""
    return dg.MultiPartitionsDefinition(
        {
            DAY: dg.DailyPartitionsDefinition(start_date=settings.first_day.isoformat(), timezone="UTC"),
            SYMBOL: dg.StaticPartitionsDefinition([entry.symbol for entry in settings.instruments]),
        }
    )


def to_dagster(key: PartitionKey) -> dg.MultiPartitionKey:
    """Translate a partition's key into Dagster's, `2024-08-08|EXCHANGE:SYMBOL`."""
    return dg.MultiPartitionKey({DAY: key.day.isoformat(), SYMBOL: key.instrument.key})


def from_dagster(partition_key: str) -> PartitionKey:
    """Translate Dagster's key, whose dimensions stand in the order of their names, into a `PartitionKey`."""
    day, symbol = partition_key.split("|", 1)
    return PartitionKey.parse(symbol, day)


def day_before() -> dg.PartitionMapping:
    """Map a partition to the same symbol one day earlier; the first day maps to nothing."""
    with warnings.catch_warnings():
        # Beta in Dagster 1.13, and the only mapping that moves one dimension and keeps the other.
        warnings.simplefilter("ignore", dg.BetaWarning)
        earlier = dg.TimeWindowPartitionMapping(
            start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
        )
        return dg.MultiPartitionMapping(
            {
                DAY: dg.DimensionPartitionMapping(DAY, earlier),
                SYMBOL: dg.DimensionPartitionMapping(SYMBOL, dg.IdentityPartitionMapping()),
            }
        )
