"""Metrics are values: equal if all they say is equal, and fixed once they are taken."""

from __future__ import annotations

import dataclasses

import pytest

from order_book_platform.observability import StageMetrics, StreamMetrics

STAGE = StageMetrics("apply", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(StageMetrics)])
def test_every_value_counts(field: str) -> None:
    """Metrics that differ in anything are different, and none can be changed in place."""
    other = dataclasses.replace(STAGE, **{field: "write" if field == "stage" else 0})
    assert other != STAGE
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(STAGE, field, 0)


def test_a_stream_is_its_stages_and_levels() -> None:
    """Two moments at which nothing differs are equal."""
    stream = StreamMetrics((STAGE,), "throttle", "none", {"none -> throttle": 1})
    assert stream == StreamMetrics((dataclasses.replace(STAGE),), "throttle", "none", {"none -> throttle": 1})
    assert stream != dataclasses.replace(stream, pressure="none")
