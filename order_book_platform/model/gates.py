"""Gates: a figure, its bar, whether it holds. One shape for assessments, fidelity reports and asset checks."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a failed gate means for whoever uses the partition."""

    ERROR = "error"
    """The data do not meet the requirement."""
    WARN = "warn"
    """Usable, but somebody should look."""


_EXACT_DIGITS = 17
"""Any float is told from any other by so many significant digits."""

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Gate:
    """A bar for a figure.

    Attributes:
        comparison: one of `<`, `<=`, `==`, `>=`, `>`.
        threshold: in the figure's unit.
        severity: what a failure means.
    """

    comparison: str
    threshold: float
    severity: Severity = Severity.ERROR

    def holds(self, value: float | None) -> bool:
        """Whether `value` passes; a missing figure or NaN never does."""
        if value is None or math.isnan(value):
            return False
        return _COMPARE[self.comparison](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.comparison} {self.threshold:g}"


def on_its_side(value: float, bar: str, write: Callable[[int], str], digits: int) -> str:
    """A figure with as many digits as it takes for its text to be on the side of the bar where the figure is.

    Args:
        value: the figure.
        bar: such as `>= 0.999`; without one nothing is asked for.
        write: the text of the figure to so many significant digits; commas in it are not read.
        digits: as many as there are at least.
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
    """A figure held against its gate.

    Attributes:
        name: of the figure.
        value: the figure; None where nothing could be measured, which fails.
        gate: the bar as text, `>= 0.999`.
        passed: whether it holds.
        n: how many observations stand behind the figure.
        severity: what a failure means.
        note: one sentence for people.
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
        """Hold `value` against `gate`; with n = 0 nothing was shown, which fails."""
        return cls(name, value, str(gate), n > 0 and gate.holds(value), n, gate.severity, note)

    def to_dict(self) -> dict[str, object]:
        """JSON-ready form."""
        return {**asdict(self), "severity": str(self.severity)}


def figure(value: float | None, bar: str = "") -> str:
    """A figure for people, thousands apart.

    Args:
        value: the figure.
        bar: such as `>= 0.999`; there are more digits where the text would be on the other side of it.

    Returns:
        Six significant digits or all before the point; `-` for what could not be measured.
    """
    return "-" if value is None else on_its_side(value, bar, lambda digits: _digits(value, digits), 6)


def _digits(value: float, digits: int) -> str:
    if abs(value) < 1_000 or not math.isfinite(value):
        return f"{value:.{digits}g}"
    whole = digits == 6 and (abs(value) >= 100_000 or float(value).is_integer())
    return f"{value:,.0f}" if whole else f"{value:,.{digits}g}"
