"""A golden sample: the book of the same symbol and day from a recording of its own, such as a live capture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows, ReferenceRows, in_order
from order_book_platform.datasets.reconstructed_books.reader import read_books
from order_book_platform.errors import EvidenceError
from order_book_platform.fidelity.metric_declarations import DELTAS, TICKERS
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last
from order_book_platform.model import BookFlag, PartitionKey
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.storage import DataStore, Manifest, ParquetRows

BOOKS = "reconstructed_books"
SAME_ARRIVALS = 0.9
"""Share of common sequence numbers with the same arrival, to the ns, from which on both are of one recorder."""
_DOUBT = BookFlag.GAP | BookFlag.CORRUPT | BookFlag.HINDSIGHT | BookFlag.CROSSED


class GoldenSample:
    """Books, and tickers where there are any, of another store, as references.

    Attributes:
        tickers: Rows of its `tickers`; None where it has none.
        inputs: Fingerprint of each dataset that is read of it, by its name with `golden/` before it.
        doubtful: Number of its book rows so far that are no reference: not seeded, flagged, or not claiming all levels.

    Raises:
        PartitionMissingError: The other store has no books of this symbol and day.
        PartitionCorruptError: Its manifest cannot be read, or is of another symbol or day.
        EvidenceError: Its books are made of the same deltas or recording, or hold prices and sizes otherwise.
    """

    def __init__(self, store: DataStore, key: PartitionKey, own: Manifest, own_books: ParquetRows) -> None:
        manifest = store.manifest(BOOKS, key)
        where = f"{key} in {store.root}"
        _check(manifest, own, where)
        self.books = store.rows(BOOKS, key)
        _check_arrivals(self.books, own_books, where)
        self.inputs = {f"golden/{BOOKS}": manifest.fingerprint}
        self.tickers = store.rows(TICKERS, key) if store.exists(TICKERS, key) else None
        if self.tickers is not None:
            self.inputs[f"golden/{TICKERS}"] = store.manifest(TICKERS, key).fingerprint
        self.doubtful = 0

    def references(self, levels: int, encoding: PartitionEncoding) -> Iterator[ReferenceRows]:
        """Yield its book rows that are beyond doubt and claim to know `levels` a side, encoded as the book measured."""
        for rows in read_books(self.books, levels, encoding):
            sure = (rows.known >= levels).all(axis=1) & (rows.flags & BookFlag.SEEDED != 0)
            sure &= rows.flags & _DOUBT == 0
            self.doubtful += int(np.count_nonzero(~sure))
            chosen = rows.take(sure)
            yield ReferenceRows(
                chosen.sequence_number, chosen.time_ns, chosen.encoded_price, chosen.encoded_size
            )


def _check(golden: Manifest, own: Manifest, where: str) -> None:
    """Refuse books of the same deltas, which would show nothing, and books that hold prices or sizes otherwise."""
    if DELTAS in own.inputs and golden.inputs.get(DELTAS) == own.inputs[DELTAS]:
        raise _not_independent(
            "books made from deltas of another recording", "books made from the very same raw_deltas", where
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
    """Refuse books of the same recorder, however often they were converted: no other one has its arrival times."""
    common = same = 0
    for ours, theirs in pair_with_last(_arrivals(own), _arrivals(golden), equal=True):
        common += len(ours)
        same += int(np.count_nonzero(ours.time_ns == theirs.time_ns))
    if common and same >= SAME_ARRIVALS * common:
        raise _not_independent(
            "books of another recording, whose messages arrived at times of their own",
            f"{same:,} of {common:,} common sequence numbers with the very same received_time",
            where,
        )


def _not_independent(expected: str, found: str, where: str) -> EvidenceError:
    remedy = "Give the data root of an independent recording, such as a live capture."
    return EvidenceError(expected=expected, found=found, where=where, remedy=remedy)


def _arrivals(books: ParquetRows) -> Iterator[NumberedRows]:
    """Yield sequence numbers of books with the arrival of their message, ns; those that go back are left out."""
    latest = int(np.iinfo(np.int64).min)
    for batch in books.batches(NARROW_ROWS, columns=["sequence_number", "received_time"]):
        rows = NumberedRows(*(batch.column(name).to_numpy() for name in ("sequence_number", "received_time")))
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        yield rows.take(ahead)


def _numbers(manifest: Manifest) -> str:
    """Return in words how prices and sizes are held."""
    point = manifest.fixed_point
    decimals = f"{point.price_decimals} and {point.size_decimals} decimals, tick {point.tick}"
    unit = manifest.metadata.get("price_unit") if manifest.precision == "decimal128" else None
    return f"{manifest.precision}, {decimals}" + (f", unit {unit}" if unit else "")
