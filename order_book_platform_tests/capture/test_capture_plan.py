"""Streams and limits of a session from settings and market."""

from __future__ import annotations

from order_book_platform.capture.capture_plan import session_limits, stream_specs
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import COINM, SPOT, USDM


def test_streams_have_their_routes() -> None:
    """The market's usual route, unless the settings name another; a stream without ids is kept all the same."""
    settings = CaptureSettings(streams=("depth", "trade", "aggTrade"), routes={"trade": "market"})
    found = [
        (spec.name, spec.kind, spec.route) for spec in stream_specs(USDM, ["BTCUSDT", "BTCUSDT"], settings)
    ]
    assert found == [
        ("btcusdt@depth@100ms", "depth", "public"),
        ("btcusdt@trade", "trade", "market"),
        ("btcusdt@aggTrade", "other", "market"),
    ]
    assert {spec.route for spec in stream_specs(COINM, ["BTCUSD_PERP"], CaptureSettings())} == {""}


def test_limits_are_within_those_of_the_market() -> None:
    """Settings may be lower than what the exchange allows, never higher."""
    settings = CaptureSettings(weight_per_minute=10_000, streams_per_connection=300)
    assert session_limits(USDM, settings).weight_per_minute == 2400
    assert session_limits(SPOT, settings).weight_per_minute == 6000
    assert session_limits(USDM, settings).streams_per_connection == 300
    assert session_limits(SPOT, settings).messages_per_second == 5
