"""A golden sample: another store that has the same symbol and day from data of its own, such as a live capture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from order_book_platform.errors import EvidenceError
from order_book_platform.fidelity.reading import read_books
from order_book_platform.fidelity.results import TICKERS
from order_book_platform.fidelity.rows import ReferenceRows
from order_book_platform.model import BookFlag, Codes, PartitionKey
from order_book_platform.storage import DataStore, Manifest, ParquetRows

BOOKS = "reconstructed_books"
_DOUBT = BookFlag.GAP | BookFlag.CORRUPT | BookFlag.HINDSIGHT | BookFlag.CROSSED


class GoldenSample:
    """Books, and tickers where there are any, of another store, as references.

    Args:
        store: the other one.
        key: symbol and day.
        own: manifest of the books that shall be measured.

    Attributes:
        store: the other one.
        inputs: what is read of it: `golden/` and a dataset, to its fingerprint.
        doubtful: its book rows so far that are no reference: not seeded, flagged, or not claiming all levels.

    Raises:
        PartitionMissingError: it has no books of this symbol and day.
        PartitionCorruptError: its manifest cannot be read, or is of another symbol or day.
        EvidenceError: its books are made of the same deltas, or hold prices and sizes otherwise.
    """

    def __init__(self, store: DataStore, key: PartitionKey, own: Manifest) -> None:
        self.store = store
        self._key = key
        manifest = store.manifest(BOOKS, key)
        _check(manifest, own, f"{key} in {store.root}")
        self.inputs = {f"golden/{BOOKS}": manifest.fingerprint}
        if store.exists(TICKERS, key):
            tickers = store.manifest(TICKERS, key)
            self.inputs[f"golden/{TICKERS}"] = tickers.fingerprint
        self.doubtful = 0

    @property
    def books(self) -> ParquetRows:
        """Its book."""
        return self.store.rows(BOOKS, self._key)

    def references(self, levels: int, codes: Codes | None = None) -> Iterator[ReferenceRows]:
        """Its book rows that are beyond doubt and claim to know `levels` levels a side.

        Args:
            levels: K.
            codes: what decimals are read as.
        """
        for rows in read_books(self.books, levels, codes=codes):
            sure = (rows.known >= levels).all(axis=1) & (rows.flags & BookFlag.SEEDED != 0)
            sure &= rows.flags & _DOUBT == 0
            self.doubtful += int(np.count_nonzero(~sure))
            chosen = rows.take(sure)
            yield ReferenceRows(chosen.sequence_number, chosen.time_ns, chosen.price_pips, chosen.size_pips)


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


def _numbers(manifest: Manifest) -> str:
    """How prices and sizes are held, in words."""
    point = manifest.fixed_point
    decimals = f"{point.price_decimals} and {point.size_decimals} decimals, tick {point.tick}"
    unit = manifest.metadata.get("price_unit") if manifest.precision == "decimal128" else None
    return f"{manifest.precision}, {decimals}" + (f", unit {unit}" if unit else "")
