"""Every error this package raises on purpose: one base class, and families of errors below it."""

from __future__ import annotations


class OrderBookPlatformError(Exception):
    """Base class of all errors that a user can cause or meet; its message is composed of its attributes.

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
        """Support pickling, which Dagster and process pools apply to exceptions."""
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[OrderBookPlatformError], attributes: dict[str, object]) -> OrderBookPlatformError:
    error = kind.__new__(kind)
    error.__dict__.update(attributes)
    Exception.__init__(error, _sentence(error))
    return error


def _sentence(error: OrderBookPlatformError) -> str:
    # The text of a library's error may end in a full stop already.
    found = error.found.removesuffix(".")
    return f"{error.where}: expected {error.expected}, found {found}. {error.remedy}"


class SettingsError(OrderBookPlatformError):
    """A settings file or an `OBP_…` variable is missing, malformed or contradicts itself."""


class SourceError(OrderBookPlatformError):
    """Family of errors about raw input that cannot be read as what it claims to be."""


class SourceMissingError(SourceError):
    """The source does not have the table, the symbol or the day."""


class SourceSchemaError(SourceError):
    """A column is missing or has another dtype."""


class SourceCorruptError(SourceError):
    """A Parquet file is truncated or damaged; it is never read as an empty day."""


class SourceAccessError(SourceError):
    """A folder or file of the lake may not be read by this user; it is never taken for an absent one."""


class SourceEmptyError(SourceError):
    """A file or a day holds zero rows."""


class SourceValueError(SourceError):
    """The source has a null, NaN, infinite or negative value where a price, a size or a time has to be."""


class FixedPointError(OrderBookPlatformError):
    """Family of errors about numbers that int64 pips, or decimals, cannot hold exactly."""


class FixedPointRangeError(FixedPointError):
    """A value is too large for int64 pips at any allowed number of decimals."""


class DecimalRangeError(FixedPointError):
    """A value has more digits than decimal128(38, 18) holds, or prices span too many units to be replayed."""


class PrecisionError(FixedPointError):
    """The request can be fulfilled for the other precision only: int64 pips or decimal128."""


class OffGridError(FixedPointError):
    """A float is not the one nearest to any decimal with the allowed number of places."""


class BatchError(OrderBookPlatformError):
    """Arrays handed to a kernel have the wrong dtype, length, order or values; nothing was changed."""


class StorageError(OrderBookPlatformError):
    """Family of errors about datasets and logs on disk."""


class PartitionMissingError(StorageError):
    """The dataset has no such partition, or the partition has no such file."""


class PartitionBusyError(StorageError):
    """Another process is writing the same partition."""


class PartitionCorruptError(StorageError):
    """A published partition does not match its manifest."""


class LogMissingError(StorageError):
    """The folder has no log, or its log does not reach to the requested row."""


class LogBusyError(StorageError):
    """Another process is writing to the same log."""


class LogSchemaError(StorageError):
    """Rows have another schema than the log, or one that a log cannot keep."""


class LogCorruptError(StorageError):
    """Rows of a log that had reached the device are damaged or gone; nothing was cut off or skipped."""


class LogBrokenError(StorageError):
    """A log writer may not go on: it has been closed, or the device refused to keep rows."""


class LogKeyError(StorageError):
    """A master key or a data key of an encrypted log is missing, wrong, or kept where others can read it."""


class DiskFullError(StorageError):
    """The disk has no space left for the files being written."""


class StorageAccessError(StorageError):
    """The data root cannot be created, read or written by this user."""


class ReconstructionError(OrderBookPlatformError):
    """A book cannot be rebuilt from the data that are there."""


class ReplayMismatchError(OrderBookPlatformError):
    """A second replay did not give the same `replay_hash`."""


class NoBookError(OrderBookPlatformError):
    """No book exists at the requested instant."""


class EvidenceError(OrderBookPlatformError):
    """A reference shows nothing about a book, or cannot be compared with it."""


class StreamError(OrderBookPlatformError):
    """Family of errors about a stream of stages that cannot go on."""


class StallError(StreamError):
    """A step of a stage has lasted too long."""


class CaptureError(OrderBookPlatformError):
    """Family of errors about a live capture."""


class CaptureStartError(CaptureError):
    """A capture cannot begin: the exchange cannot be reached, or the clock is far off."""


class BenchmarkError(OrderBookPlatformError):
    """A benchmark is not available, or a system measured beside this one fails or keeps another book."""


class ExchangeError(OrderBookPlatformError):
    """The local exchange cannot serve: a port is taken, or its ledger cannot be written."""
