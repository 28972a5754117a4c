"""cryptofeed as a recorder: its raw data collection, and its book deltas and tickers beside it.

Runs with the peers' packages, not with this project's, until SIGTERM. It is set up as its users do: a `FeedHandler`
with `AsyncFileCallback`, and callbacks of `BinanceFutures` for `L2_BOOK` (all levels) and `TICKER`. Only addresses
differ, and the certificate to trust, which comes by the environment. What its callbacks and its log say goes to a file,
a line of JSON each, in the order in which it happens.

Lines: `["delta", ns, symbol, U, u, pu]`, `["ticker", ns, symbol, u]`, `["snapshot", ns, symbol]`, `["log", ns, text]`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

LINES = "callbacks.jsonl"
"""File of the callbacks, in the folder that also has the raw files."""
RAW = "raw"
"""Folder of cryptofeed's own raw files."""
RAW_ROWS = 100
"""Messages between two writes of a raw file; by default 10,000, all of which a kill would lose."""


class NoticeHandler(logging.Handler):
    """Hands on what cryptofeed logs: reconnections, and missing updates that it has noticed."""

    def __init__(self, note: Any) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        self._note("log", record.getMessage())


def main(websocket_url: str, rest_url: str, symbols: list[str], folder: Path) -> None:
    """Record until a signal comes."""
    from cryptofeed import FeedHandler  # type: ignore[import-not-found,unused-ignore]
    from cryptofeed.connection import (  # type: ignore[import-not-found,unused-ignore]
        RestEndpoint,
        Routes,
        WebsocketEndpoint,
    )
    from cryptofeed.defines import L2_BOOK, TICKER  # type: ignore[import-not-found,unused-ignore]
    from cryptofeed.exchanges import BinanceFutures  # type: ignore[import-not-found,unused-ignore]
    from cryptofeed.raw_data_collection import (  # type: ignore[import-not-found,unused-ignore]
        AsyncFileCallback,
    )

    routes = Routes("/fapi/v1/exchangeInfo", l2book="/fapi/v1/depth?symbol={}&limit={}")
    BinanceFutures.websocket_endpoints = [WebsocketEndpoint(websocket_url, options={"compression": None})]
    BinanceFutures.rest_endpoints = [RestEndpoint(rest_url, routes=routes)]
    (folder / RAW).mkdir()
    with (folder / LINES).open("w", encoding="utf-8") as file:

        def note(*line: Any) -> None:
            kind, *rest = line
            file.write(json.dumps([kind, time.time_ns(), *rest]) + "\n")

        async def book(book: Any, _: float) -> None:
            raw, symbol = book.raw, book.symbol
            if book.delta is None:
                note("snapshot", symbol)
            else:
                note("delta", symbol, raw["U"], raw["u"], raw["pu"])

        async def ticker(ticker: Any, _: float) -> None:
            note("ticker", ticker.symbol, ticker.raw["u"])

        log = {"filename": str(folder / "cryptofeed.log"), "level": "WARNING"}
        raw = AsyncFileCallback(str(folder / RAW), length=RAW_ROWS)
        handler = FeedHandler(config={"uvloop": True, "log": log}, raw_data_collection=raw)
        logging.getLogger("feedhandler").addHandler(NoticeHandler(note))
        handler.add_feed(
            BinanceFutures(
                symbols=symbols, channels=[L2_BOOK, TICKER], callbacks={L2_BOOK: book, TICKER: ticker}
            )
        )
        asyncio.set_event_loop(asyncio.new_event_loop())  # that of uvloop; newer ones make none by themselves
        handler.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3].split(","), Path(sys.argv[4]))
