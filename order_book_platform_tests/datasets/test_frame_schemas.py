"""Schema of `rl_features`: which columns there are for which settings."""

from __future__ import annotations

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.frame_schemas import features_schema


def test_settings_make_columns() -> None:
    """One imbalance a level, as many flows as levels, a return and a volatility for each look-back in seconds."""
    names = features_schema((1, 5), 2, (NS_PER_SECOND, 60 * NS_PER_SECOND)).names
    families = [name for name in names if name.startswith(("qi_", "mlofi_", "ret_", "rv_"))]
    assert families == ["qi_1", "qi_5", "mlofi_1", "mlofi_2", "ret_1s", "ret_60s", "rv_1s", "rv_60s"]
    assert (names[0], names[-1]) == ("time", "valid")


def test_integers_may_be_null_and_floats_may_not() -> None:
    """A figure that cannot be made is null as an integer, and NaN as a float."""
    for field in features_schema((1,), 1, (NS_PER_SECOND,)):
        if str(field.type) == "float":
            assert not field.nullable, field.name
        elif field.name in ("mid2", "spread_ticks", "ofi_1", "mlofi_1", "latency_ms"):
            assert field.nullable, field.name
