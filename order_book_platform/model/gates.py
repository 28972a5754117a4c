"""Gates: a figure is held against a bar. Assessments, fidelity reports and asset checks share these classes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a failed gate matters to whoever uses the partition."""

    ERROR = "error"
    """The data do not meet the requirement."""
    WARN = "warn"
    """The data are usable, but somebody should look at them."""


_EXACT_DIGITS = 17
"""Significant digits at which any two different floats have different texts."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """A bar that a figure is held against: a comparison such as `>=`, a threshold in the figure's unit, a severity."""

    comparison: str
    threshold: float
    severity: Severity = Severity.ERROR

    def holds(self, value: float | None) -> bool:
        """Return whether `value` passes; a missing figure or NaN never does."""
        if value is None or math.isnan(value):
            return False
        return _COMPARE[self.comparison](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.comparison} {self.threshold:g}"


def on_its_side(value: float, bar: str, write: Callable[[int], str], digits: int) -> str:
    """Write a figure with enough digits for its text to be on the same side of a bar as the figure itself.

    Args:
        value: The figure.
        bar: Comparison and threshold, such as `>= 0.999`; without one `digits` are enough.
        write: Writes the figure with so many significant digits; commas in the text are ignored.
        digits: Least number of significant digits.
    """
    comparison, _, threshold = bar.partition(" ")
    if not threshold or not math.isfinite(value):
        return write(digits)
    gate = Gate(comparison, float(threshold))
    for more in range(digits, _EXACT_DIGITS):
        if gate.holds(float(write(more).replace(",", ""))) == gate.holds(value):
            return write(more)
    return write(_EXACT_DIGITS)


@dataclass(frozen=True, slots=True)
class GateResult:
    """A figure that was held against its gate, whose text is such as `>= 0.999`, with one sentence for people.

    It rests on n observations, and is None where nothing could be measured, which fails.
    """

    name: str
    value: float | None
    gate: str
    passed: bool
    n: int
    severity: Severity
    note: str = ""

    @classmethod
    def of(cls, name: str, value: float | None, gate: Gate, *, n: int, note: str = "") -> GateResult:
        """Hold `value` against `gate`; a figure with n = 0 observations shows nothing and fails."""
        return cls(name, value, str(gate), n > 0 and gate.holds(value), n, gate.severity, note)

    def to_dict(self) -> dict[str, object]:
        """Return all fields by name, ready for JSON."""
        return {**asdict(self), "severity": str(self.severity)}


def figure(value: float | None, bar: str = "") -> str:
    """Write a figure for people with six significant digits, or all before the point, and commas; `-` for None.

    More digits are written where the text would otherwise be on the other side of the bar, such as `>= 0.999`.
    """
    return "-" if value is None else on_its_side(value, bar, lambda digits: _digits(value, digits), 6)


def _digits(value: float, digits: int) -> str:
    if abs(value) < 1_000 or not math.isfinite(value):
        return f"{value:.{digits}g}"
    whole = digits == 6 and (abs(value) >= 100_000 or float(value).is_integer())
    return f"{value:,.0f}" if whole else f"{value:,.{digits}g}"
