"""Published datasets, whose partitions appear whole, and logs, whose appended rows survive a crash.

In: arrow tables and text from the components. Out: `<data root>/<dataset>/exchange=E/symbol=S/dt=D/` with a
manifest, folders of log segments, and readers over them.
"""

from order_book_platform.storage.disk import DiskSpace
from order_book_platform.storage.log import LogBatch, LogReader, LogWriter
from order_book_platform.storage.parquet_rows import ParquetRows
from order_book_platform.storage.parquet_sink import ParquetSink
from order_book_platform.storage.partition_writer import Manifest, PartitionWriter
from order_book_platform.storage.store import DataStore, UnfinishedWork, find_unfinished_work

__all__ = [
    "DataStore",
    "DiskSpace",
    "LogBatch",
    "LogReader",
    "LogWriter",
    "Manifest",
    "ParquetRows",
    "ParquetSink",
    "PartitionWriter",
    "UnfinishedWork",
    "find_unfinished_work",
]
