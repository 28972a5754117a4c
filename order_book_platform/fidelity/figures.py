"""The report's figures, on a light and on a dark ground."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from order_book_platform.fidelity.evidence import LEVELS_SCHEMA
from order_book_platform.fidelity.windows import WINDOWS_SCHEMA
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.plots import book, fidelity
from order_book_platform.plots.decimals import in_pips
from order_book_platform.plots.figure import png_pairs
from order_book_platform.storage import DataStore


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: for headings and alternative text.
        light: PNG bytes.
        dark: PNG bytes.
    """

    title: str
    light: bytes
    dark: bytes


def draw_figures(
    steps: book.TimeSteps,
    books: pl.DataFrame,
    fixed_point: FixedPoint,
    windows: pl.DataFrame,
    reference: str,
    levels: pl.DataFrame,
) -> tuple[Figure, ...]:
    """Draw what the report shows.

    Args:
        steps: of the day's books.
        books: level columns of `reconstructed_books`, of the rows that the steps show.
        fixed_point: of their prices and sizes.
        windows: see `Windows.frame`.
        reference: what the windows compare with.
        levels: see `SnapshotEvidence.level_frame`.
    """
    shown, fixed_point = in_pips(books.lazy(), fixed_point)
    depth = steps.sample(shown.collect())

    with _garbage_kept():
        drawn = {
            "Fidelity over time": fidelity.error_figure(windows, reference=reference),
            "Fidelity by level": fidelity.level_figure(levels),
            "The book": book.depth_figure(depth, fixed_point),
        }
        return tuple(
            Figure(title, *pair) for title, pair in zip(drawn, png_pairs(drawn.values()), strict=True)
        )


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Nothing is looked through for garbage meanwhile.

    A figure makes so many objects that Python would go through all 200,000 that the libraries keep, several times:
    0.2 s of 0.85 s.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def draw_pictures(store: DataStore, key: PartitionKey) -> dict[str, bytes]:
    """The charts of a published report, drawn from its report.json: title to PNG bytes, on a light ground.

    Args:
        store: where it is published.
        key: symbol and day.

    Raises:
        PartitionMissingError: it has not been published.
    """
    report = store.report("fidelity_report", key)
    windows = pl.DataFrame(report["windows"], schema=WINDOWS_SCHEMA)
    levels = pl.DataFrame(report["levels"], schema=LEVELS_SCHEMA)
    return {
        "Fidelity over time": fidelity.error_chart(windows, reference=report["windows_reference"]),
        "Fidelity by level": fidelity.level_chart(levels),
    }
