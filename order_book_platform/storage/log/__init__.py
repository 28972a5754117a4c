"""Logs: appended rows that survive a crash, in the format of docs/formats/log.md.

In: Arrow record batches from one writer. Out: the same rows by their number in the log, for any number of readers in
any process, from sealed Parquet segments and from the open segment that is still being written.
"""

from order_book_platform.storage.log.log_reader import LogReader
from order_book_platform.storage.log.log_writer import LogWriter
from order_book_platform.storage.log.recovery import Recovered
from order_book_platform.storage.log.segments import LogBatch

__all__ = ["LogBatch", "LogReader", "LogWriter", "Recovered"]
