"""Logs: rows that are appended and must survive a crash; docs/formats/log.md.

In: arrow record batches, from one writer. Out: the same rows by their place, to any number of readers in any process,
from sealed Parquet segments and from the tail that is still being written.
"""

from order_book_platform.storage.log.log_reader import LogReader
from order_book_platform.storage.log.log_writer import LogWriter
from order_book_platform.storage.log.recovery import Recovered
from order_book_platform.storage.log.segments import LogBatch

__all__ = ["LogBatch", "LogReader", "LogWriter", "Recovered"]
