"""One pass over one partition: streams opened, joined and added up into metrics."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import polars as pl

from order_book_platform.datasets.book_sample import TimeSteps, time_steps
from order_book_platform.datasets.columns import NumberedRows, count_nulls
from order_book_platform.datasets.reconstructed_books.reader import (
    BEST_ROWS,
    PickedRows,
    read_as_of,
    read_best,
    read_books,
    read_heads,
)
from order_book_platform.datasets.reconstructed_books.rows import BookHeads, BookRows, from_seed
from order_book_platform.datasets.snapshots import longest_list, read_reference_snapshots
from order_book_platform.datasets.tickers import read_tickers
from order_book_platform.datasets.trades import read_trades
from order_book_platform.fidelity.metrics.book_metrics import bad_references, book_metrics
from order_book_platform.fidelity.metrics.clock_comparison import (
    ClockComparison,
    by_transaction_time,
    shared_clock,
)
from order_book_platform.fidelity.metrics.distributions import Distributions
from order_book_platform.fidelity.metrics.error_drift import Drift
from order_book_platform.fidelity.metrics.gap_metrics import GAPS, gap_metrics, replay_hash
from order_book_platform.fidelity.metrics.level_windows import LevelWindows
from order_book_platform.fidelity.metrics.market_statistics import SecondClock, return_metrics, trade_metrics
from order_book_platform.fidelity.metrics.message_intervals import interval_metrics
from order_book_platform.fidelity.metrics.metric import (
    GOLDEN,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    Metric,
    judge_placebos,
)
from order_book_platform.fidelity.metrics.reference_comparison import (
    BestPriceComparison,
    LevelComparison,
    level_metrics,
)
from order_book_platform.fidelity.metrics.size_correlation import sample_step
from order_book_platform.fidelity.metrics.state_curves import state_curves
from order_book_platform.fidelity.metrics.tallies import BookFacts, FactTally
from order_book_platform.fidelity.metrics.time_windows import Windows
from order_book_platform.fidelity.metrics.trades_in_range import TradeRange
from order_book_platform.fidelity.references.golden_sample import GoldenSample
from order_book_platform.fidelity.references.held_out import (
    ANY,
    HeldOut,
    Plausible,
    ReferenceCounts,
    find_messages,
)
from order_book_platform.fidelity.references.plausible_times import first_time, held_times, hold_times
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last, with_placebos
from order_book_platform.fidelity.result import FidelityResult
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.encoding import encoding_of
from order_book_platform.observability import Progress
from order_book_platform.storage import DataStore, ParquetRows
from order_book_platform.streaming import read_ahead

BOOKS = "reconstructed_books"
USED_FILE = "used_snapshots.parquet"
_AHEAD = 2
"""Batches of levels that wait: with one less, whoever compares them waits for the next more often."""
_NONE = np.zeros(0, dtype=np.int64)

T = TypeVar("T", bound=NumberedRows)


class FidelityRunner:
    """Measures one partition of books; writes nothing.

    Args:
        store: where the partitions are.
        key: symbol and day.
        progress: told of rows read.
        golden: another store with the same symbol and day; its tickers stand in where this one has none.

    Raises:
        PartitionMissingError: there are no books, here or in the other store.
        EvidenceError: what the other store holds is no evidence.
    """

    def __init__(
        self, store: DataStore, key: PartitionKey, progress: Progress, golden: DataStore | None = None
    ) -> None:
        self._store = store
        self._key = key
        self._progress = progress
        self._books = store.rows(BOOKS, key)
        manifest = store.manifest(BOOKS, key)
        self.golden = None if golden is None else GoldenSample(golden, key, manifest, self._books)
        self._metadata = manifest.metadata
        self._encoding = encoding_of(manifest.metadata)
        self._tick_pips = self._encoding.tick
        self._grid = manifest.metadata.get("cadence") == "grid"
        self._plausible_ns = Plausible.of(key.day, BookFacts()).times_ns
        self._alignment = "sequence_equal" if self._grid else "sequence"

    def measure(self) -> FidelityResult:
        """Read everything there is and work out every metric."""
        used = self._store.table(BOOKS, self._key, USED_FILE)
        numbers = self._snapshot_numbers()
        traded = self._trade_range(next_too=True)
        with ThreadPoolExecutor(1) as beside:
            looked_up = beside.submit(find_messages, numbers, self._store.rows("raw_deltas", self._key))
            facts, clock, times_ns, steps = self._facts(traded)
            places, last_message = looked_up.result()
            statistics = beside.submit(self._statistics, clock, times_ns)
            seen = places[_since(facts.first_seed, numbers)] > 0
            used_numbers = used.column("sequence_number").to_numpy()
            plausible = Plausible.of(self._key.day, facts, last_message)
            held_out = HeldOut(used_numbers, facts.first_seed, last_message, self._tick_pips, plausible)
            picked = PickedRows(steps.rows, _level_names(self._books))
            drift = Drift(numbers, places, used)
            evidence, distributions = self._against_snapshots(held_out, facts, picked, drift, numbers)
            looks = statistics.result()
        counts = held_out.counts
        unmatched = counts.unmatched(evidence.rows)
        metrics = evidence.metrics(unmatched, self._alignment)
        metrics += distributions.metrics(unmatched, self._alignment)
        metrics += drift.metrics(unmatched, self._alignment)
        references, windows, source = {SNAPSHOTS: counts}, evidence.best.windows, SNAPSHOTS
        others, counted, against_tickers = self._against_others(facts, traded, last_message, plausible)
        metrics += others
        references |= counted
        if against_tickers is not None:
            windows, source = against_tickers, TICKERS
        metrics += book_metrics(facts, used.column("use").to_pylist(), len(seen), int((~seen).sum()))
        metrics += gap_metrics(self._store.report(GAPS, self._key))
        metrics.append(replay_hash(self._metadata, facts.rows))
        metrics.append(judge_placebos(metrics))
        metrics += bad_references(references)
        metrics += looks
        levels = evidence.level_frame()
        metrics += level_metrics(levels, unmatched, self._alignment)
        shown = pl.DataFrame(picked.table(self._books.schema))
        curves = state_curves(distributions, self._encoding.float_decimals)
        return FidelityResult(
            *(tuple(metrics), references, windows.frame(), source, levels),
            level_windows=evidence.level_windows.to_dict(),
            states=curves,
            drift=drift.frame(),
            facts=facts,
            steps=steps,
            shown=shown,
            snapshot_windows=None if source == SNAPSHOTS else evidence.best.windows.frame(),
        )

    def _against_others(
        self, facts: BookFacts, traded: TradeRange, last_message: int | None, plausible: Plausible
    ) -> tuple[list[Metric], dict[str, ReferenceCounts], Windows | None]:
        """Tickers, the golden sample and trades, as far as there are any.

        Args:
            facts: of the book.
            traded: trades beside the book's best prices by origin time.
            last_message: highest sequence number of `raw_deltas`.
            plausible: what a reference of this day looks like.

        Returns:
            Metrics, what became of the references by dataset, and the windows of tickers.
        """
        metrics: list[Metric] = []
        references: dict[str, ReferenceCounts] = {}
        trades = [traded.metric(TRADES, "origin_time")] if self._store.exists(TRADES, self._key) else []
        tickers, windows = self._tickers(), None
        if tickers is not None:
            against, references[TICKERS], compared = self._against_tickers(facts, tickers, plausible)
            metrics += against.metrics(TICKERS, facts.rows - compared, "sequence")
            by_clock, by_transaction = self._by_clock(facts, tickers, plausible)
            metrics += by_clock
            trades, windows = by_transaction or trades, against.windows
        if self.golden is not None:
            sample = HeldOut(_NONE, facts.first_seed, last_message, self._tick_pips, plausible)
            metrics += self._against_golden(self.golden, sample, facts)
            references[GOLDEN] = sample.counts
        return [*metrics, *trades], references, windows

    def _heads(self) -> Iterator[BookHeads]:
        return read_heads(self._books, self._encoding)

    def _facts(self, traded: TradeRange) -> tuple[BookFacts, SecondClock, Int64Array, TimeSteps]:
        """What the book's narrow columns say, its mid prices and times, and which rows shall be drawn.

        Args:
            traded: shown its best prices, from the first seeded row on.
        """
        times, flags, clock = [_NONE], [_NONE.astype(np.uint8)], SecondClock()
        tally, plausible_ns = FactTally(self._plausible_ns), self._plausible_ns
        first_ns = first_time(self._books, plausible_ns)

        def noted() -> Iterator[BookHeads]:
            for part in self._told("book", self._heads(), self._books.num_rows):
                tally.add(part)
                times.append(part.time_ns)
                flags.append(part.flags)
                yield part

        for part in from_seed(hold_times(noted(), plausible_ns, first_ns)):
            traded.add(part.time_ns, part.best_prices)
            clock.add(part)
        traded.end()  # trades after the last row count as unmatched
        times_ns = held_times(np.concatenate(times), plausible_ns, first_ns)
        return tally.facts, clock, times_ns, time_steps(times_ns, np.concatenate(flags))

    def _statistics(self, clock: SecondClock, times_ns: Int64Array) -> list[Metric]:
        """What intervals, returns and sizes of trades look like; no gates."""
        metrics = [*interval_metrics(self._books, times_ns), *return_metrics(clock)]
        if self._store.exists(TRADES, self._key):
            metrics += trade_metrics(self._store.rows(TRADES, self._key))
        return metrics

    def _snapshot_numbers(self) -> Int64Array:
        """Sequence numbers of all snapshots, used ones too."""
        if not self._store.exists(SNAPSHOTS, self._key):
            return _NONE
        table = self._store.rows(SNAPSHOTS, self._key).read(["sequence_number"])
        numbers: Int64Array = table.column(0).to_numpy()
        return numbers

    def _trade_range(self, *, next_too: bool) -> TradeRange:
        """For the trades of the day; none where there is no such dataset."""
        if not self._store.exists(TRADES, self._key):
            return TradeRange(iter([]), next_too=next_too)
        file = self._store.rows(TRADES, self._key)
        stream = read_trades(file, self._encoding)
        return TradeRange(stream, next_too=next_too, step=sample_step(file.num_rows))

    def _by_clock(
        self, facts: BookFacts, tickers: ParquetRows, plausible: Plausible
    ) -> tuple[list[Metric], list[Metric]]:
        """Book rows beside tickers by time, and trades beside both.

        Returns:
            Metrics of tickers, and those of trades and the book by transaction time, where that is known.
        """
        deltas = self._store.rows("raw_deltas", self._key)
        clock = shared_clock(tickers, deltas)
        best = read_best(self._books, facts.first_seed, self._encoding)
        books = hold_times(best, self._plausible_ns, facts.first_time_ns)
        if clock == "transaction_time":
            books = by_transaction_time(books, deltas)
        fit = HeldOut(_NONE, *ANY, self._tick_pips, plausible)
        found = fit.select(read_tickers(tickers, self._encoding, BEST_ROWS, clock))
        evidence = ClockComparison(self._tick_pips, clock, count_nulls(tickers, clock) if clock else 0)
        by_tickers, by_book = self._trade_range(next_too=False), self._trade_range(next_too=True)
        if clock:
            found = by_tickers.watch(found, lambda rows: rows.encoded_price[:, :, 0])
            books = by_book.watch(books, lambda rows: rows.encoded_price)
        evidence.run(read_ahead(books), read_ahead(found))
        metrics = evidence.metrics(facts.rows)
        if not clock or not self._store.exists(TRADES, self._key):
            return metrics, []
        of_book = [by_book.metric(TRADES, clock)] if clock == "transaction_time" else []
        return [*metrics, by_tickers.metric(TICKERS, clock)], of_book

    def _windows(self, facts: BookFacts) -> Windows:
        return Windows(facts.first_time_ns, facts.last_time_ns)

    def _against_snapshots(
        self, held_out: HeldOut, facts: BookFacts, picked: PickedRows, drift: Drift, numbers: Int64Array
    ) -> tuple[LevelComparison, Distributions]:
        """Stream held-out snapshots and the book rows they belong to past each other, and the whole book past `picked`.

        Each is read ahead in a thread of its own: books decoded, snapshots selected and given their placebos too.

        Args:
            held_out: selects the snapshots.
            facts: of the book.
            picked: rows to be drawn.
            drift: told of every comparison.
            numbers: int64[m], sequence numbers of all snapshots.
        """
        depth = len(picked.columns) // 4
        snapshots = (
            self._store.rows(SNAPSHOTS, self._key) if self._store.exists(SNAPSHOTS, self._key) else None
        )
        longest = 0 if snapshots is None else longest_list(snapshots, enough=depth)
        levels = min(depth, longest or depth)
        magnitude = self._encoding.size_floats
        span = (facts.first_time_ns, facts.last_time_ns)
        evidence = LevelComparison(
            levels,
            self._tick_pips,
            0 if snapshots is None else snapshots.num_rows,
            self._windows(facts),
            LevelWindows(levels, *span),
            magnitude,
        )
        distributions = Distributions(levels, self._tick_pips, *span, magnitude)
        at = held_out.unused(numbers)
        rows = read_ahead(
            read_as_of(self._books, levels, at, self._encoding, picked=picked, equal=self._grid), _AHEAD
        )
        if snapshots is not None:
            read = read_reference_snapshots(snapshots, levels, self._encoding, admit=held_out.admit)
            told = self._told(SNAPSHOTS, read, snapshots.num_rows)
            chosen = held_out.select(told)
            cut = (part.cut(levels) for part in chosen)
            references = read_ahead(with_placebos(cut, step=evidence.step), _AHEAD)
            for shifted, found in pair_with_last(references, rows, equal=True):
                drift.add(shifted, *evidence.add(shifted, found))
                distributions.add(shifted, found)
        for _ in rows:
            continue  # what follows the last snapshot is drawn
        evidence.close()
        return evidence, distributions

    def _tickers(self) -> ParquetRows | None:
        """This store's tickers, else those of the golden sample, else None."""
        stores = [self._store, *([self.golden.store] if self.golden else [])]
        found = next((store for store in stores if store.exists(TICKERS, self._key)), None)
        return None if found is None else found.rows(TICKERS, self._key)

    def _against_golden(self, golden: GoldenSample, sample: HeldOut, facts: BookFacts) -> list[Metric]:
        """Stream the rows of the golden sample and the book rows they belong to past each other."""
        levels = min(len(_level_names(books)) // 4 for books in (self._books, golden.books))
        magnitude = self._encoding.size_floats
        evidence = LevelComparison(
            levels,
            self._tick_pips,
            golden.books.num_rows,
            self._windows(facts),
            LevelWindows(levels, facts.first_time_ns, facts.last_time_ns),
            magnitude,
            GOLDEN,
        )
        rows = read_ahead(read_books(self._books, levels, self._encoding))
        read = read_ahead(golden.references(levels, self._encoding))
        chosen = sample.select(self._told(GOLDEN, read, golden.books.num_rows))
        for shifted, found in pair_with_last(
            with_placebos(chosen, step=evidence.step), rows, equal=self._grid
        ):
            evidence.add(shifted, found)
        for _ in chosen:
            continue  # the counts are of all rows, also of those after the last book row
        evidence.close()
        counts = sample.counts
        counts.doubtful = golden.doubtful
        counts.rows += golden.doubtful
        unmatched = counts.unmatched(evidence.rows)
        return evidence.metrics(unmatched, self._alignment)

    def _against_tickers(
        self, facts: BookFacts, file: ParquetRows, plausible: Plausible
    ) -> tuple[BestPriceComparison, ReferenceCounts, int]:
        """Stream book rows and the last ticker before each past each other.

        Returns:
            The evidence, the counts of tickers, and the number of book rows compared.
        """
        evidence = BestPriceComparison(self._tick_pips, self._windows(facts))
        tickers = HeldOut(_NONE, *ANY, self._tick_pips, plausible)
        compared = 0
        references = with_placebos(tickers.select(read_tickers(file, self._encoding)))
        judged = _from(
            facts.first_seed, self._told(TICKERS, read_books(self._books, 1, self._encoding), facts.rows)
        )
        for rows, latest in pair_with_last(judged, references, beyond_end=False):
            evidence.add(rows.time_ns, rows, latest)
            compared += len(rows)
        for _ in references:
            continue  # the counts are of all tickers, also of those after the last book row
        return evidence, tickers.counts, compared

    def _told(self, stage: str, parts: Iterator[T], total: int) -> Iterator[T]:
        """The same stream; says how far it is."""
        done = 0
        self._progress(stage, 0, total)
        for part in parts:
            yield part
            done += len(part)
            self._progress(stage, min(done, total), total)
        self._progress(stage, total, total)  # what was used did not come


def _level_names(books: ParquetRows) -> list[str]:
    """Columns of prices and sizes, four a level."""
    return [name for name in books.schema.names if name.startswith(("bid_", "ask_"))]


def _since(first: int | None, numbers: Int64Array) -> BoolArray:
    """bool[n], which sequence numbers are at or above `first`; none where it is None."""
    return numbers >= first if first is not None else np.zeros(len(numbers), dtype=np.bool_)


def _from(first: int | None, parts: Iterator[BookRows]) -> Iterator[BookRows]:
    """Rows from sequence number `first` on; none where it is None."""
    for part in parts:
        if first is not None:
            yield part.take(part.sequence_number >= first)
