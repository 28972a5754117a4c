"""Progress and measurements of a running stream."""

from __future__ import annotations

import dataclasses

import pytest

from order_book_platform.observability import Progress, StageMetrics, StreamMetrics, silent


def test_silent_is_a_progress_that_does_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """It takes what components report, with and without a stream's metrics, and shows nothing."""
    progress: Progress = silent
    progress("apply", 1, 2)
    progress("apply", 2, 2, StreamMetrics((), "none", "none", {}))
    assert capfd.readouterr() == ("", "")


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
