"""Axes of an SVG figure: scales from data to pixels, ticks with readable labels, and panels with a frame and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.svg import Svg, text_width

Spacing = Literal["linear", "log", "symlog"]
Ticks = Sequence[tuple[float, str]]
"""Value and label of each tick."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A map from data to a position along an axis: 0 for `low`, 1 for `high`, which is lower on a reversed axis.

    `log` needs values above 0. `symlog` is linear within `linear` of 0, as long as one power of ten, and then like it.
    """

    low: float
    high: float
    spacing: Spacing = "linear"
    linear: float = 1.0

    def __call__(self, values: ArrayLike) -> Float64Array:
        """Return the positions of data, float64 of the shape of `values`; NaN stays NaN."""
        first, last = self._transformed(np.array([self.low, self.high]))
        transformed = self._transformed(np.asarray(values, dtype=np.float64))
        positions: Float64Array = (transformed - first) / (last - first)
        return positions

    def _transformed(self, values: Float64Array) -> Float64Array:
        if self.spacing == "linear":
            return values
        if self.spacing == "log":
            return np.log10(np.maximum(values, np.finfo(np.float64).tiny))
        distance = np.abs(values) / self.linear
        return np.sign(values) * np.where(distance <= 1, distance, 1 + np.log10(np.maximum(distance, 1)))

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Return round values within the scale, about `most` at the most, with their labels."""
        low, high = sorted((self.low, self.high))
        if self.spacing == "linear":
            values = _round_steps(low, high, most)
        elif self.spacing == "log":
            values = _thinned(_log_steps(low, high), most)
        else:
            powers = _powers(self.linear, max(abs(low), abs(high)))
            beyond = [sign * power for power in powers if power > self.linear for sign in (-1, 1)]
            both = sorted({*_round_steps(-self.linear, self.linear, 3), *beyond})
            values = _thinned([value for value in both if low <= value <= high], most)
        return [(value, number_label(value)) for value in values]


def number_label(value: float) -> str:
    """Write a number as short as it can be read: `0.001`, `25`, `1,000`, `2e+07`."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2g}"
    if value % 1 == 0:
        return f"{value:,.0f}"
    decimals = max(0, 5 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".")


def percent_label(value: float) -> str:
    """Write a share as per cent, such as `0.1 %`."""
    return f"{value * 100:.3g} %"


def _round_steps(low: float, high: float, most: int) -> list[float]:
    """Return multiples of a round step from `low` to `high`."""
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_steps(low: float, high: float) -> list[float]:
    """Return powers of ten from `low` to `high`; with their doubles and halves where there are fewer than three."""
    found = _powers(low, high)
    if len(found) < 3:
        halves = (power * factor for power in _powers(low / 10, high) for factor in (2.0, 5.0))
        found = sorted({*found, *halves})
    inside = [value for value in found if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
    return inside or [low, high]


def _powers(low: float, high: float) -> list[float]:
    """Return powers of ten from the one at or above `low` to the one at or below `high`."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1)]


def _thinned(values: Sequence[float], most: int) -> list[float]:
    """Return every n-th value, so that at most `most` remain."""
    return list(values[:: max(1, -(-len(values) // max(most, 1)))])


_STEPS = (1, 2, 5, 10, 15, 30)
_TIME_STEPS_S = (
    *_STEPS,
    *(60 * step for step in _STEPS),
    *(3_600 * step for step in (1, 2, 3, 4, 6, 12, 24)),
)


def time_axis(
    first_ns: int, last_ns: int, window_ns: float = 0, most: int = 9
) -> tuple[Scale, list[tuple[float, str]], str]:
    """Return scale, ticks and label of a time axis, ns UTC, which is at least a second long.

    Ticks are at most about `most` round times of day. The label says what the axis shows, such as `UTC, 2024-08-08,
    windows of 10 s`; `window_ns` is 0 if there are none.
    """
    span_s = max(last_ns - first_ns, NS_PER_SECOND) / NS_PER_SECOND
    step_s = next((step for step in _TIME_STEPS_S if span_s / step <= most), _TIME_STEPS_S[-1])
    step = step_s * NS_PER_SECOND
    shown = slice(11, 19) if step_s < 60 else slice(11, 16)
    times = range(-(-first_ns // step) * step, last_ns + 1, step)
    days = sorted({iso_from_ns(first_ns)[:10], iso_from_ns(max(first_ns, last_ns - 1))[:10]})
    windows = f", windows of {window_ns / NS_PER_SECOND:g} s" if window_ns else ""
    return (
        Scale(float(first_ns), float(max(last_ns, first_ns + NS_PER_SECOND))),
        [(float(time), iso_from_ns(time)[shown]) for time in times],
        "UTC, " + " to ".join(days) + windows,
    )


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of a figure, px, with a scale along its lower edge, and one upwards along its left edge."""

    svg: Svg
    left: float
    top: float
    width: float
    height: float
    x_scale: Scale = Scale(0, 1)
    y_scale: Scale = Scale(0, 1)

    @property
    def right(self) -> float:
        """Right edge of the plot area, px."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge of the plot area, px."""
        return self.top + self.height

    def x_px(self, values: ArrayLike) -> Float64Array:
        """Return where data lie horizontally, px; values beyond the scale lie at the edge."""
        return np.clip(self.left + self.x_scale(values) * self.width, self.left, self.right)

    def y_px(self, values: ArrayLike) -> Float64Array:
        """Return where data lie vertically, px; values beyond the scale lie at the edge."""
        return np.clip(self.bottom - self.y_scale(values) * self.height, self.top, self.bottom)

    def draw_axes(
        self,
        *,
        title: str = "",
        x_label: str = "",
        y_label: str = "",
        x_ticks: Ticks = (),
        y_ticks: Ticks = (),
        grid: str = "xy",
        message: str = "",
    ) -> None:
        """Draw the two axes with ticks, labels and a heading above the upper left corner.

        Lines of the grid go up from the ticks of the horizontal axis and right from those of the vertical one, as far
        as `grid` names it. The message, in the middle, says why there is nothing to show. Newlines split the message,
        and the label of the vertical axis, into lines.
        """
        svg = self.svg
        for value, words in y_ticks:
            y = float(self.y_px(value))
            if "y" in grid:
                svg.line(self.left, y, self.right, y)
            svg.text(self.left - 6, y + 4, words, anchor="end")
        for value, words in x_ticks:
            x = float(self.x_px(value))
            if "x" in grid:
                svg.line(x, self.top, x, self.bottom)
            svg.text(x, self.bottom + 15, words, anchor="middle")
        svg.line(self.left, self.bottom, self.right, self.bottom)
        svg.line(self.left, self.top, self.left, self.bottom)
        if title:
            svg.text(self.left, self.top - 9, title, kind="h")
        if x_label:
            svg.text(self.left + self.width / 2, self.bottom + 31, x_label, anchor="middle")
        if y_label:
            widest = max((text_width(words) for _, words in y_ticks), default=0.0)
            lines = y_label.split("\n")
            for index, words in enumerate(lines):
                x = self.left - widest - 16 - 13 * (len(lines) - 1 - index)
                svg.text(x, self.top + self.height / 2, words, anchor="middle", upwards=True)
        lines = message.split("\n") if message else []
        for index, words in enumerate(lines):
            y = self.top + self.height / 2 + 4 + 15 * (index - (len(lines) - 1) / 2)
            svg.text(self.left + self.width / 2, y, words, anchor="middle")
