"""How fast the replay loop is: one core, deltas already in memory, a simulated BTC perpetual.

Run: `python -m benchmarks.replay [--json]`.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.report import Report
from benchmarks.simulated import KEY, simulated_store
from order_book_platform.kernels.book import Book
from order_book_platform.model import DeltaBatch, FixedPoint

MESSAGES = 50_000


def replayed(batch: DeltaBatch, point: FixedPoint, depth: int, cadence: str) -> int:
    """Replay a whole batch through a new book; gives the number of rows."""
    book = Book(point.tick_pips, depth=depth, cadence=cadence)
    return sum(len(rows) for rows in book.feed(batch)) + len(book.finish())


def main() -> None:
    """Measure and print."""
    report = Report("replay")
    with tempfile.TemporaryDirectory() as folder:
        store, _ = simulated_store(Path(folder), MESSAGES)
        batch = DeltaBatch.from_arrow(store.table("raw_deltas", KEY))
        point = store.manifest("raw_deltas", KEY).fixed_point
    work = "a row {} (depth {})"
    for depth, cadence, when in (
        (1, "message", "per message"),
        (20, "message", "per message"),
        (20, "change", "when the visible book changed"),
    ):
        run = partial(replayed, batch, point, depth, cadence)
        result = report.rate("order_book_platform", work.format(when, depth), len(batch), "deltas", run)
        if depth == 1:
            report.bar("best bid/ask per message, one core, deltas/s", 60_000_000, result.value)
    report.show()


if __name__ == "__main__":
    main()
