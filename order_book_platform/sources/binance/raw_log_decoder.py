"""Decodes the raw log of a capture: a pure function of its rows, whatever batches they come in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.columns import as_numpy
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.errors import SourceSchemaError
from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources.binance.decoded_rows import DecodedRows, MessageBlock
from order_book_platform.sources.binance.instrument_decoder import InstrumentDecoder
from order_book_platform.sources.binance.listed_instrument import ListedInstrument
from order_book_platform.sources.binance.market import Market
from order_book_platform.sources.binance.payload_parser import PayloadParser, Refusal
from order_book_platform.sources.binance.payload_reader import REFUSED, PayloadBatch, PayloadReader
from order_book_platform.sources.binance.raw_segments import NumberedRow

NAMED_REFUSALS = 20
"""Refusals that are named with row and reason; the others are only counted."""


class RawLogDecoder:
    """Decodes the rows of one raw log in order.

    Args:
        market: Market of the log.
        keys: Instruments that are wanted, as `EXCHANGE:SYMBOL`; by default all that have rules.

    Attributes:
        counts: What was counted, by name, beyond one instrument.
        refusals: The first payloads that were not understood: row and reason.
        recorder_gaps: Rows and details of the gaps that the recorder has noted itself, and of a removed front.
    """

    def __init__(self, market: Market, keys: Collection[str] | None = None) -> None:
        self._market = market
        self._keys = keys
        self._instruments: dict[str, InstrumentDecoder] = {}
        self._streams: dict[int, set[str]] = {}
        """Streams of the open connections."""
        self._readers: tuple[PayloadReader, PayloadParser] | None = None
        self.counts: Counter[str] = Counter()
        self.refusals: list[tuple[int, str]] = []
        self.recorder_gaps: list[tuple[int, dict[str, Any]]] = []

    def feed(self, batch: pa.RecordBatch, first_row: int) -> list[DecodedRows]:
        """Decode the next rows of the log.

        Args:
            batch: Rows with the columns of a raw log.
            first_row: Number of the first one.

        Raises:
            SourceSchemaError: The rules of an instrument cannot be used.
        """
        is_message = pc.equal(batch.column("kind"), RowKind.MESSAGE.value).to_numpy(zero_copy_only=False)
        start = 0
        for row in np.flatnonzero(~is_message).tolist():
            self._feed_messages(batch.slice(start, row - start), first_row + start)
            self._feed_control(batch.slice(row, 1).to_pylist()[0], first_row + row)
            start = row + 1
        self._feed_messages(batch.slice(start), first_row + start)
        return self._drain()

    def skim(self, rows: Iterable[NumberedRow]) -> None:
        """Take rules and connections from rows before the first one that is decoded; nothing of them is counted."""
        for number, row in rows:
            self._follow(row, json.loads(row["detail"] or "{}"), number)

    def begin_behind(self, removed_rows: int) -> None:
        """Note as a gap that so many rows have been removed from the front of the log, and nobody knows them."""
        self.recorder_gaps.append(
            (removed_rows, {"why": "removed", "streams": [], "from_monotonic_ns": None, "rows": removed_rows})
        )

    def finish(self) -> list[DecodedRows]:
        """Decode what still waits: after the end of the log nobody fills a hole any more."""
        self._streams.clear()
        self._settle()
        return self._drain()

    def report(self) -> dict[str, Any]:
        """Return what was counted: over the whole log, and by instrument."""
        return {
            "counts": dict(sorted(self.counts.items())),
            "refusals": [{"row": row, "reason": reason} for row, reason in self.refusals],
            "recorder_gaps": [{"row": row, **detail} for row, detail in self.recorder_gaps],
            "instruments": {
                each.numbering.instrument.key: each.all_counts() for each in self._instruments.values()
            },
        }

    def _drain(self) -> list[DecodedRows]:
        return [rows for each in self._instruments.values() for rows in each.drain()]

    def _feed_messages(self, batch: pa.RecordBatch, first_row: int) -> None:
        is_binary = as_numpy(batch, "binary")
        rows = np.flatnonzero(~is_binary)
        self.counts["binary"] += int(is_binary.sum())
        if not len(rows):
            return
        if len(rows) < batch.num_rows:
            batch = batch.take(pa.array(rows))
        reader, _ = self._parsers()
        payloads = reader.read(batch.column("payload"))
        arrivals = np.stack([as_numpy(batch, "connection"), as_numpy(batch, "monotonic_time")], axis=1)
        received_ns = as_numpy(batch, "received_time")
        self._count(payloads, rows + first_row)
        symbols = np.where(
            payloads.records[:, scan.KIND] <= members.AGGREGATE, payloads.records[:, scan.SYMBOL], -1
        )
        for connection in np.unique(arrivals[:, 0]).tolist():
            self._streams.setdefault(connection, set())
        for place in np.unique(symbols[symbols >= 0]).tolist():
            symbol = reader.symbols[place]
            own = np.flatnonzero(symbols == place)
            self._feed_instrument(
                symbol,
                MessageBlock(payloads.records[own], received_ns[own], payloads.prices, payloads.sizes),
                rows[own] + first_row,
                arrivals[own],
            )

    def _feed_instrument(
        self, symbol: str, block: MessageBlock, rows: Int64Array, arrivals: Int64Array
    ) -> None:
        decoder = self._instruments.get(symbol)
        if decoder is not None:
            decoder.feed(block, rows, arrivals, self._carriers(decoder))

    def _count(self, payloads: PayloadBatch, rows: Int64Array) -> None:
        self.counts["slow"] += payloads.slow
        self.counts["refused"] += int((payloads.records[:, scan.KIND] == REFUSED).sum())
        for what, count in payloads.others.items():
            self.counts[f"other: {what}"] += count
        for place, reason in payloads.refusals.items():
            self._refuse(int(rows[place]), reason)

    def _refuse(self, row: int, reason: str) -> None:
        if len(self.refusals) < NAMED_REFUSALS:
            self.refusals.append((row, reason))

    def _parsers(self) -> tuple[PayloadReader, PayloadParser]:
        if self._readers is None:
            points = {symbol: each.numbering.point for symbol, each in self._instruments.items()}
            self._readers = PayloadReader(self._market, points), PayloadParser(self._market, points)
        return self._readers

    def _carriers(self, decoder: InstrumentDecoder) -> set[int]:
        """Return the open connections that carry an instrument's depth, by what they have sent or subscribed to."""
        reached = decoder.merge.reached
        return {
            connection
            for connection, streams in self._streams.items()
            if connection in reached or _has_depth(streams, decoder.numbering.symbol)
        }

    def _settle(self) -> None:
        for decoder in self._instruments.values():
            if decoder.is_waiting:
                decoder.settle(self._carriers(decoder))

    def _feed_control(self, row: Mapping[str, Any], number: int) -> None:
        """Take a row that the recorder has written about itself, or a response."""
        detail = json.loads(row["detail"] or "{}")
        if row["kind"] == RowKind.REST:
            self._feed_response(row, detail, number)
        elif row["kind"] == RowKind.GAP:
            self.recorder_gaps.append((number, detail))
        self._follow(row, detail, number)

    def _follow(self, row: Mapping[str, Any], detail: Mapping[str, Any], number: int) -> None:
        """Follow the rules of the instruments, and which connections are open and what they carry."""
        match row["kind"]:
            case RowKind.RULES:
                self._feed_rules(row, number)
            case RowKind.CONNECT:
                self._streams[row["connection"]] = {each.lower() for each in detail.get("streams") or ()}
            case RowKind.SUBSCRIBE:
                self._feed_subscription(row["connection"], detail)
            case RowKind.CLOSE:
                self._streams.pop(row["connection"], None)
                self._settle()
            case RowKind.GAP if detail.get("why") == "killed":
                self._streams.clear()
                self._settle()

    def _feed_rules(self, row: Mapping[str, Any], number: int) -> None:
        rules = ListedInstrument.of_entry(self._market, row["payload"])
        if self._keys is not None and rules.instrument.key not in self._keys:
            return
        if rules.symbol in self._instruments:
            self._instruments[rules.symbol].set_rules(rules, number)
        else:
            self._instruments[rules.symbol] = InstrumentDecoder(rules, number, is_futures=self._market.has_pu)
        self._readers = None

    def _feed_response(self, row: Mapping[str, Any], detail: Mapping[str, Any], number: int) -> None:
        address = urlsplit(row["route"])
        if not address.path.endswith("/depth") or detail.get("status", 200) != 200:
            return
        symbol = parse_qs(address.query).get("symbol", [""])[0]
        decoder = self._instruments.get(symbol)
        if decoder is None and self._keys is not None:
            return
        response = self._parsers()[1].parse_response(symbol, row["payload"])
        if isinstance(response, Refusal) or decoder is None:
            self.counts["refused_responses"] += 1
            self._refuse(number, getattr(response, "reason", f"there are no rules of {symbol!r}"))
        else:
            decoder.add_snapshot(response, row["received_time"], number)

    def _feed_subscription(self, connection: int, detail: Mapping[str, Any]) -> None:
        """Follow what the recorder has subscribed to; a text that is no request changes nothing."""
        try:
            request = json.loads(detail.get("sent") or "{}")
            names = {str(each).lower() for each in request.get("params") or ()}
        except (ValueError, AttributeError, TypeError):
            return
        streams = self._streams.setdefault(connection, set())
        if request.get("method") == "SUBSCRIBE":
            streams |= names
        elif request.get("method") == "UNSUBSCRIBE":
            streams -= names
            for decoder in self._instruments.values():
                if _has_depth(names, decoder.numbering.symbol):
                    decoder.merge.reached.pop(connection, None)
            self._settle()

    def state(self) -> dict[str, Any] | None:
        """Return the state in a form that JSON holds, or None while a message waits for a hole to be filled."""
        if any(each.is_waiting for each in self._instruments.values()):
            return None
        return {
            "market": self._market.name,
            "streams": [[connection, sorted(names)] for connection, names in self._streams.items()],
            "instruments": {symbol: each.state() for symbol, each in self._instruments.items()},
            "counts": dict(self.counts),
            "refusals": self.refusals,
            "recorder_gaps": self.recorder_gaps,
        }

    @classmethod
    def restore(
        cls, market: Market, state: Mapping[str, Any], keys: Collection[str] | None = None
    ) -> RawLogDecoder:
        """Return the decoder that `state` was taken of.

        Raises:
            SourceSchemaError: The state is that of another market.
        """
        if state["market"] != market.name:
            raise SourceSchemaError(
                expected=f"the state of a decoder of {market.name}",
                found=f"one of {state['market']}",
                where="checkpoint of a decoder",
                remedy="Decode into another folder.",
            )
        decoder = cls(market, keys)
        decoder._streams = {connection: set(names) for connection, names in state["streams"]}
        decoder._instruments = {
            symbol: InstrumentDecoder.restore(each, is_futures=market.has_pu)
            for symbol, each in state["instruments"].items()
        }
        decoder.counts = Counter(state["counts"])
        decoder.refusals = [(row, reason) for row, reason in state["refusals"]]
        decoder.recorder_gaps = [(row, detail) for row, detail in state["recorder_gaps"]]
        return decoder


def _has_depth(streams: Collection[str], symbol: str) -> bool:
    """Return whether the depth stream of a symbol is among streams in lower case."""
    name = f"{symbol.lower()}@depth"
    return any(each == name or each.startswith(f"{name}@") for each in streams)
