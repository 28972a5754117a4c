"""A golden sample: another store that has the same symbol and day from data of its own, such as a live capture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows, ReferenceRows, in_order
from order_book_platform.datasets.reconstructed_books.reader import read_books
from order_book_platform.errors import EvidenceError
from order_book_platform.fidelity.metrics.metric import TICKERS
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.storage import DataStore, Manifest, ParquetRows

BOOKS = "reconstructed_books"
SAME_ARRIVALS = 0.9
"""Share of common sequence numbers that arrived at the same ns in both, from which on there was one recorder only."""
_DOUBT = BookFlag.GAP | BookFlag.CORRUPT | BookFlag.HINDSIGHT | BookFlag.CROSSED


class GoldenSample:
    """Books, and tickers where there are any, of another store, as references.

    Args:
        store: the other one.
        key: symbol and day.
        own: manifest of the books that shall be measured.
        books: these books.

    Attributes:
        store: the other one.
        inputs: what is read of it: `golden/` and a dataset, to its fingerprint.
        doubtful: its book rows so far that are no reference: not seeded, flagged, or not claiming all levels.

    Raises:
        PartitionMissingError: it has no books of this symbol and day.
        PartitionCorruptError: its manifest cannot be read, or is of another symbol or day.
        EvidenceError: its books are made of the same deltas or recording, or hold prices and sizes otherwise.
    """

    def __init__(self, store: DataStore, key: PartitionKey, own: Manifest, books: ParquetRows) -> None:
        self.store = store
        self._key = key
        manifest = store.manifest(BOOKS, key)
        _check(manifest, own, f"{key} in {store.root}")
        _check_arrivals(self.books, books, f"{key} in {store.root}")
        self.inputs = {f"golden/{BOOKS}": manifest.fingerprint}
        if store.exists(TICKERS, key):
            tickers = store.manifest(TICKERS, key)
            self.inputs[f"golden/{TICKERS}"] = tickers.fingerprint
        self.doubtful = 0

    @property
    def books(self) -> ParquetRows:
        """Its book."""
        return self.store.rows(BOOKS, self._key)

    def references(self, levels: int, encoding: PartitionEncoding) -> Iterator[ReferenceRows]:
        """Its book rows that are beyond doubt and claim to know `levels` levels a side.

        Args:
            levels: K.
            encoding: Encoding of the book that is measured.
        """
        for rows in read_books(self.books, levels, encoding):
            sure = (rows.known >= levels).all(axis=1) & (rows.flags & BookFlag.SEEDED != 0)
            sure &= rows.flags & _DOUBT == 0
            self.doubtful += int(np.count_nonzero(~sure))
            chosen = rows.take(sure)
            yield ReferenceRows(
                chosen.sequence_number, chosen.time_ns, chosen.encoded_price, chosen.encoded_size
            )


def _check(golden: Manifest, own: Manifest, where: str) -> None:
    """Refuse what would show nothing, or what cannot be compared number by number."""
    source = "raw_deltas"
    if golden.inputs.get(source) == own.inputs.get(source) and source in own.inputs:
        raise EvidenceError(
            expected="books made from deltas of another recording",
            found="books made from the very same raw_deltas",
            where=where,
            remedy="Give the data root of an independent recording, such as a live capture.",
        )
    wanted, found = _numbers(own), _numbers(golden)
    if wanted != found:
        raise EvidenceError(
            expected=f"prices and sizes held as in the books that are measured ({wanted})",
            found=found,
            where=where,
            remedy="Build the golden sample with the same tick, decimals and precision.",
        )


def _check_arrivals(golden: ParquetRows, own: ParquetRows, where: str) -> None:
    """Refuse what the same recorder wrote, however often it was converted since: nobody else has its arrival times."""
    common = same = 0
    for ours, theirs in pair_with_last(_arrivals(own), _arrivals(golden), equal=True):
        common += len(ours)
        same += int(np.count_nonzero(ours.time_ns == theirs.time_ns))
    if common and same >= SAME_ARRIVALS * common:
        raise EvidenceError(
            expected="books of another recording, whose messages arrived at times of their own",
            found=f"{same:,} of {common:,} common sequence numbers with the very same received_time",
            where=where,
            remedy="Give the data root of an independent recording, such as a live capture.",
        )


def _arrivals(books: ParquetRows) -> Iterator[NumberedRows]:
    """Sequence numbers of books with the arrival of their message, ns; those that go back are left out."""
    latest = int(np.iinfo(np.int64).min)
    for batch in books.batches(NARROW_ROWS, columns=["sequence_number", "received_time"]):
        rows = NumberedRows(*(batch.column(name).to_numpy() for name in ("sequence_number", "received_time")))
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        yield rows.take(ahead)


def _numbers(manifest: Manifest) -> str:
    """How prices and sizes are held, in words."""
    point = manifest.fixed_point
    decimals = f"{point.price_decimals} and {point.size_decimals} decimals, tick {point.tick}"
    unit = manifest.metadata.get("price_unit") if manifest.precision == "decimal128" else None
    return f"{manifest.precision}, {decimals}" + (f", unit {unit}" if unit else "")
