"""Figures: frames in, SVG or PNG out. The same frame gives the same bytes.

Colours are safe for colour-blind readers (Okabe and Ito), times are UTC, every axis names its unit. What reports and
materializations show is SVG (`svg`, `axes`, and a module for each subject), which can be drawn in any thread.
"""

from order_book_platform.plots import (
    depth_chart,
    distribution_chart,
    drift_chart,
    error_charts,
    gap_chart,
    latency_chart,
)
from order_book_platform.plots.svg import STYLE, Svg, data_uri
from order_book_platform.plots.theme import DARK, LIGHT, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "STYLE",
    "Svg",
    "Theme",
    "data_uri",
    "depth_chart",
    "distribution_chart",
    "drift_chart",
    "error_charts",
    "gap_chart",
    "latency_chart",
]
