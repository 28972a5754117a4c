"""Figures and pages: frames and reports go in, SVG, PNG and HTML come out. Equal input gives equal bytes.

`svg` and `axes` draw, and each `…_chart` module holds the figures of one subject. `pages` renders HTML from templates.
Figures are drawn once for a light and a dark ground, in colours that colour-blind readers can tell apart; times are
UTC, and every axis names its unit.
"""

from order_book_platform.plots.svg import STYLE, Svg, data_uri

__all__ = ["STYLE", "Svg", "data_uri"]
