"""Settings turned into steps, and settings that make no features."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from order_book_platform.model import FixedPoint
from order_book_platform.rl.features.feature_spec import BLOCK_STEPS, FeatureSpec
from order_book_platform.settings import FeatureSettings


def spec(**values: Any) -> FeatureSpec:
    """Specify features of books of 20 levels."""
    return FeatureSpec.of(
        FeatureSettings(**values),
        depth=20,
        cadence="change",
        fixed_point=FixedPoint(tick_pips=5),
        where="test",
    )


def test_defaults_in_steps() -> None:
    """100 ms steps, a window of ten, horizons of 1, 10 and 60 seconds."""
    found = spec()
    assert (found.step_ns, found.stride, found.window, found.second) == (100_000_000, 1, 10, 10)
    assert found.horizons == (10, 100, 600)
    assert found.history == 610
    assert (found.block, found.tick_pips) == (BLOCK_STEPS, 5)


def test_clock_above_a_second_keeps_seconds_inside() -> None:
    """Rows every minute are still made from steps of one second, in blocks of whole rows."""
    found = spec(clock="1m", flow_window="2m", horizons=("5m",))
    assert (found.step_ns, found.stride, found.window, found.horizons) == (1_000_000_000, 60, 120, (300,))
    assert found.block % 60 == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"imbalance_levels": ()}, "imbalance_levels"),
        ({"imbalance_levels": (0, 1)}, "imbalance_levels"),
        ({"imbalance_levels": (5, 5)}, "imbalance_levels"),
        ({"horizons": ("1s", "1000ms")}, "horizons"),
        ({"horizons": ("1500ms",)}, "horizons"),
        ({"clock": "300ms"}, "flow_window"),
    ],
)
def test_settings_that_make_no_features(values: dict[str, Any], expected: str) -> None:
    """Levels and horizons that are none, double or off the clock are refused by name."""
    with pytest.raises(ValidationError, match=expected):
        spec(**values)
