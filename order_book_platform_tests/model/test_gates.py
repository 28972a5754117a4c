"""Gates: what passes, and that nothing measured never does."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.model import Gate, GateResult, Severity


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        (">=", False, True, True),
        (">", False, False, True),
    ],
)
def test_each_comparison(comparison: str, below: bool, at: bool, above: bool) -> None:
    """Just below, at and just above the bar."""
    gate = Gate(comparison, 0.5)
    assert [gate.holds(value) for value in (0.4, 0.5, 0.6)] == [below, at, above]


@given(st.sampled_from(["<", "<=", "==", ">=", ">"]), st.floats(allow_nan=False))
def test_a_missing_figure_never_passes(comparison: str, threshold: float) -> None:
    """No value and NaN fail every gate."""
    gate = Gate(comparison, threshold)
    assert not gate.holds(None)
    assert not gate.holds(math.nan)


def test_nothing_observed_never_passes() -> None:
    """A perfect figure from no observation shows nothing."""
    gate = Gate(">=", 0.999)
    assert GateResult.of("bbo_exact_seq", 1.0, gate, n=1).passed
    assert not GateResult.of("bbo_exact_seq", 1.0, gate, n=0).passed


def test_a_result_says_what_it_was_held_against() -> None:
    """The bar as text, the severity and the note travel with the figure, also as JSON."""
    result = GateResult.of("gap", 0.2, Gate("<", 0.001, Severity.WARN), n=5, note="Look at the gaps.")
    assert json.loads(json.dumps(result.to_dict())) == {
        "name": "gap",
        "value": 0.2,
        "gate": "< 0.001",
        "passed": False,
        "n": 5,
        "severity": "warn",
        "note": "Look at the gaps.",
    }
