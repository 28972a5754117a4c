"""Settings and market turned into what a session needs: its streams and its limits."""

from __future__ import annotations

from collections.abc import Sequence

from order_book_platform.capture.session import SessionLimits, StreamSpec
from order_book_platform.capture.session.stream_watch import StreamKind
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import Market

KINDS: dict[str, StreamKind] = {"depth": "depth", "bookTicker": "ticker", "trade": "trade"}
"""Kinds of Binance's streams whose messages have ids that are followed."""


def stream_specs(market: Market, symbols: Sequence[str], settings: CaptureSettings) -> list[StreamSpec]:
    """List the streams of all symbols.

    Args:
        market: the market.
        symbols: symbols as Binance spells them.
        settings: which streams, and routes that differ from the market's usual ones.
    """
    return [
        StreamSpec(
            market.stream(kind, symbol),
            KINDS.get(kind, "other"),
            symbol,
            settings.routes.get(kind, market.route(kind)),
        )
        for symbol in dict.fromkeys(symbols)
        for kind in settings.streams
    ]


def session_limits(market: Market, settings: CaptureSettings) -> SessionLimits:
    """Return the limits of a session: those of the settings, within those of the market.

    Args:
        market: the market.
        settings: the section of the settings.
    """
    return SessionLimits(
        streams_per_connection=min(settings.streams_per_connection, market.streams_per_connection),
        messages_per_second=market.sends_per_second,
        weight_per_minute=min(settings.weight_per_minute, market.weight_per_minute),
        rotate_after_ns=settings.rotate_after,
        snapshot_every_ns=settings.snapshot_every,
        rules_every_ns=settings.rules_every,
        start_within_ns=settings.start_within,
        max_clock_offset_ns=settings.max_clock_offset,
    )
