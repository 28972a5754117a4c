"""Every error this package raises on purpose.

One base class, families below it. An error carries what was expected, what was found, where, and what to do
next, as attributes, and composes its own message from them.
"""

from __future__ import annotations


class OrderBookPlatformError(Exception):
    """Base of all errors a user can cause or meet.

    Attributes:
        expected: what would have been right.
        found: what there was instead.
        where: file, column, row, key or partition.
        remedy: what the reader can do about it.
    """

    def __init__(self, *, expected: str, found: str, where: str, remedy: str) -> None:
        self.expected = expected
        self.found = found
        self.where = where
        self.remedy = remedy
        super().__init__(_sentence(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling, which Dagster and process pools do to exceptions."""
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[OrderBookPlatformError], attributes: dict[str, object]) -> OrderBookPlatformError:
    error = kind.__new__(kind)
    error.__dict__.update(attributes)
    Exception.__init__(error, _sentence(error))
    return error


def _sentence(error: OrderBookPlatformError) -> str:
    # What a library said may end in a full stop of its own.
    found = error.found.removesuffix(".")
    return f"{error.where}: expected {error.expected}, found {found}. {error.remedy}"


class SettingsError(OrderBookPlatformError):
    """A settings file or an `OBP_…` variable is missing, malformed or contradicts itself."""


class SourceError(OrderBookPlatformError):
    """Family: raw input that cannot be read as what it claims to be."""


class SourceMissingError(SourceError):
    """The table, the symbol or the day is not there."""


class SourceSchemaError(SourceError):
    """A column is missing or has another dtype."""


class SourceCorruptError(SourceError):
    """A Parquet file is truncated or damaged; it is never read as an empty day."""


class SourceAccessError(SourceError):
    """A folder or file of the lake may not be read by this user; it is never taken for an absent one."""


class SourceEmptyError(SourceError):
    """A file or a day holds zero rows."""


class SourceValueError(SourceError):
    """A null, NaN, infinite or negative value where a price, a size or a time has to be."""


class FixedPointError(OrderBookPlatformError):
    """Family: a number that int64 pips, or decimals, cannot hold exactly."""


class FixedPointRangeError(FixedPointError):
    """A value is too large for int64 pips at any allowed number of decimals."""


class DecimalRangeError(FixedPointError):
    """A value has more digits than decimal128(38, 18) holds, or prices span too many units to be replayed."""


class PrecisionError(FixedPointError):
    """What was asked for exists for the other precision only: int64 pips or decimal128."""


class OffGridError(FixedPointError):
    """A float is not the nearest one to any decimal with that many places."""


class BatchError(OrderBookPlatformError):
    """Arrays handed to a kernel have the wrong dtype, length, order or values; nothing was changed."""


class StorageError(OrderBookPlatformError):
    """Family: datasets on disk."""


class PartitionMissingError(StorageError):
    """A dataset has no such partition."""


class PartitionBusyError(StorageError):
    """Another process is writing the same partition."""


class PartitionCorruptError(StorageError):
    """A published partition does not match its manifest."""


class LogMissingError(StorageError):
    """There is no log in that folder, or it does not reach to the row asked for."""


class LogBusyError(StorageError):
    """Another process is writing to the same log."""


class LogSchemaError(StorageError):
    """Rows have another schema than the log, or one that cannot be kept in it."""


class LogCorruptError(StorageError):
    """Rows of a log that were on the device are damaged or gone; nothing is cut off and nothing skipped."""


class LogBrokenError(StorageError):
    """A writer of a log that may not go on: it has been closed, or the device refused to keep what it was given."""


class DiskFullError(StorageError):
    """The disk has no room for what is being written."""


class StorageAccessError(StorageError):
    """The data root cannot be created, read or written by this user."""


class ReconstructionError(OrderBookPlatformError):
    """A book cannot be rebuilt from what there is."""


class ReplayMismatchError(OrderBookPlatformError):
    """A second replay did not give the same `replay_hash`."""


class NoBookError(OrderBookPlatformError):
    """No book exists at the instant asked for."""


class EvidenceError(OrderBookPlatformError):
    """A reference that shows nothing about a book, or cannot be compared with it."""


class StreamError(OrderBookPlatformError):
    """Family: a stream of stages that cannot go on."""


class StallError(StreamError):
    """A stage has made no step for too long, and restarting it has not helped."""


class BenchmarkError(OrderBookPlatformError):
    """A benchmark is not here to be run, or a system measured beside ours fails or keeps another book."""
