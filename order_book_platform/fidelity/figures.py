"""The report's figures, on a light and on a dark ground."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from order_book_platform.fidelity.evidence import LEVELS_SCHEMA
from order_book_platform.fidelity.windows import WINDOWS_SCHEMA
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.plots import book, fidelity
from order_book_platform.plots.decimals import in_pips
from order_book_platform.plots.figure import DARK, LIGHT, Theme
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
    books: pl.LazyFrame, fixed_point: FixedPoint, windows: pl.DataFrame, reference: str, levels: pl.DataFrame
) -> tuple[Figure, ...]:
    """Draw what the report shows.

    Args:
        books: of `reconstructed_books`.
        fixed_point: of its prices and sizes.
        windows: see `Windows.frame`.
        reference: what the windows compare with.
        levels: see `SnapshotEvidence.level_frame`.
    """
    books, fixed_point = in_pips(books, fixed_point)
    depth = book.sample_depth(books)

    def errors(theme: Theme) -> bytes:
        return fidelity.error_chart(windows, reference=reference, theme=theme)

    def by_level(theme: Theme) -> bytes:
        return fidelity.level_chart(levels, theme=theme)

    def heat(theme: Theme) -> bytes:
        return book.depth_heatmap(depth, fixed_point, theme=theme)

    titles = (("Fidelity over time", errors), ("Fidelity by level", by_level), ("The book", heat))
    return tuple(Figure(title, draw(LIGHT), draw(DARK)) for title, draw in titles)


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
