"""Figures: frames in, PNG bytes out. The same frame gives the same bytes.

Colours are safe for colour-blind readers (Okabe and Ito), times are UTC, every axis names its unit. Figures
are built with matplotlib's object interface only, so they can be drawn in any thread.
"""

from order_book_platform.plots import book, fidelity, gaps
from order_book_platform.plots.figure import DARK, LIGHT, Theme, data_uri

__all__ = ["DARK", "LIGHT", "Theme", "book", "data_uri", "fidelity", "gaps"]
