"""Axes of an SVG figure: scales from data to pixels, ticks that people can read, panels with a frame and words."""

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

Kind = Literal["linear", "log", "symlog"]
Ticks = Sequence[tuple[float, str]]
"""Where, and what is written there."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From data to a place between `low` (0) and `high` (1).

    Attributes:
        low: data at the start; above 0 for `log`.
        high: data at the end, not equal to `low`; below it turns the axis round.
        kind: how what is between is spread. `symlog` is linear within `linear` of 0 and logarithmic beyond.
        linear: see `kind`; the linear part is as long as one power of ten.
    """

    low: float
    high: float
    kind: Kind = "linear"
    linear: float = 1.0

    def __call__(self, values: ArrayLike) -> Float64Array:
        """Places of data, float64[n]; NaN stays NaN."""
        first, last = self._bent(np.array([self.low, self.high]))
        places: Float64Array = (self._bent(np.asarray(values, dtype=np.float64)) - first) / (last - first)
        return places

    def _bent(self, values: Float64Array) -> Float64Array:
        if self.kind == "linear":
            return values
        if self.kind == "log":
            return np.log10(np.maximum(values, np.finfo(np.float64).tiny))
        far = np.abs(values) / self.linear
        return np.sign(values) * np.where(far <= 1, far, 1 + np.log10(np.maximum(far, 1)))

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round numbers inside, at most about `most`."""
        low, high = sorted((self.low, self.high))
        if self.kind == "linear":
            return [(value, number(value)) for value in _round_steps(low, high, most)]
        if self.kind == "log":
            found = _powers(low, high)
            if len(found) < 3:
                found = sorted({*found, *(p * f for p in _powers(low / 10, high) for f in (2.0, 5.0))})
            found = [value for value in found if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
            return [(value, number(value)) for value in _thinned(found or [low, high], most)]
        far = [power for power in _powers(self.linear, max(abs(low), abs(high))) if power > self.linear]
        near = _round_steps(-self.linear, self.linear, 3)
        both = sorted({*near, *far, *(-value for value in far)})
        return [(value, number(value)) for value in _thinned([v for v in both if low <= v <= high], most)]


def number(value: float) -> str:
    """As short as it can be read: `0.001`, `25`, `1,000`, `2e+07`."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        return (
            f"{value:,.{max(0, 5 - math.floor(math.log10(abs(value))))}f}".rstrip("0").rstrip(".")
            if value % 1
            else f"{value:,.0f}"
        )
    return f"{value:.2g}"


def percent(value: float) -> str:
    """A share as per cent."""
    return f"{value * 100:.3g} %"


def _round_steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten from the one at or above `low` to the one at or below `high`."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1)]


def _thinned(values: Sequence[float], most: int) -> list[float]:
    return list(values[:: max(1, -(-len(values) // max(most, 1)))])


_TIME_STEPS_S = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    14400,
    21600,
    43200,
    86400,
)


def time_ticks(first_ns: int, last_ns: int, most: int = 9) -> list[tuple[float, str]]:
    """UTC times of day at round steps, as ns since the epoch."""
    span_s = max(last_ns - first_ns, NS_PER_SECOND) / NS_PER_SECOND
    step_s = next((step for step in _TIME_STEPS_S if span_s / step <= most), _TIME_STEPS_S[-1])
    step = step_s * NS_PER_SECOND
    times = range(-(-first_ns // step) * step, last_ns + 1, step)
    shown = slice(11, 19) if step_s < 60 else slice(11, 16)
    return [(float(time), iso_from_ns(time)[shown]) for time in times]


def time_scale(first_ns: int, last_ns: int) -> Scale:
    """Of a time axis; at least a second long."""
    return Scale(float(first_ns), float(max(last_ns, first_ns + NS_PER_SECOND)))


def time_label(first_ns: int, last_ns: int) -> str:
    """`UTC` and the day, or the first and the last."""
    days = sorted({iso_from_ns(first_ns)[:10], iso_from_ns(max(first_ns, last_ns - 1))[:10]})
    return "UTC, " + " to ".join(days)


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of a figure with an axis along each side.

    Attributes:
        svg: the figure.
        left: px.
        top: px.
        width: px.
        height: px.
        x: along the bottom.
        y: from the bottom up.
    """

    svg: Svg
    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    @property
    def right(self) -> float:
        """Right edge, px."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower edge, px."""
        return self.top + self.height

    def across(self, values: ArrayLike) -> Float64Array:
        """Where data lie along x, px; what lies outside is drawn at the edge."""
        places = self.left + self.x(values) * self.width
        return np.clip(places, self.left, self.right)

    def up(self, values: ArrayLike) -> Float64Array:
        """Where data lie along y, px; what lies outside is drawn at the edge."""
        places = self.bottom - self.y(values) * self.height
        return np.clip(places, self.top, self.bottom)

    def frame(
        self,
        *,
        title: str = "",
        x_label: str = "",
        y_label: str = "",
        x_ticks: Ticks = (),
        y_ticks: Ticks = (),
        grid_x: bool = True,
        grid_y: bool = True,
    ) -> None:
        """Draw grid, ticks and words; the title stands at the left, above. Lines of `y_label` are split by newlines."""
        svg = self.svg
        for value, words in y_ticks:
            at = float(self.up(value))
            if grid_y:
                svg.line(self.left, at, self.right, at)
            svg.text(self.left - 6, at + 4, words, anchor="end")
        for value, words in x_ticks:
            at = float(self.across(value))
            if grid_x:
                svg.line(at, self.top, at, self.bottom)
            svg.text(at, self.bottom + 15, words, anchor="middle")
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
                at = self.left - widest - 16 - 13 * (len(lines) - 1 - index)
                svg.text(at, self.top + self.height / 2, words, anchor="middle", turned=True)

    def say(self, message: str) -> None:
        """Write why there is nothing to show, in the middle; newlines split it."""
        lines = message.split("\n")
        for index, words in enumerate(lines):
            at = self.top + self.height / 2 + 4 + 15 * (index - (len(lines) - 1) / 2)
            self.svg.text(self.left + self.width / 2, at, words, anchor="middle")
