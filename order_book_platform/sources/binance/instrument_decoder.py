"""Decodes the messages of one instrument: merges its connections, drops duplicates, and counts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from math import gcd
from typing import Any

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.kernels.ingest import depth_steps
from order_book_platform.kernels.ingest import payload_members as members
from order_book_platform.kernels.ingest import payload_scan as scan
from order_book_platform.model import FixedPoint, Instrument
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.sources.binance.decoded_rows import (
    DecodedRows,
    MessageBlock,
    Numbering,
    snapshot_row,
)
from order_book_platform.sources.binance.depth_merge import DepthIds, DepthMerge
from order_book_platform.sources.binance.listed_instrument import ListedInstrument
from order_book_platform.sources.binance.payload_parser import DepthResponse


class InstrumentDecoder:
    """The state of one instrument.

    Args:
        rules: Its rules.
        row: Row of the raw log with them.
        is_futures: Whether depth messages have `T` and `pu`.

    Attributes:
        numbering: Stretch that the next rows belong to.
        merge: Merge of the depth messages.
        counts: What was counted, by name.
    """

    def __init__(self, rules: ListedInstrument, row: int, *, is_futures: bool) -> None:
        self.numbering = Numbering(rules.symbol, rules.instrument, rules.point, row)
        self.merge = DepthMerge()
        self.counts: Counter[str] = Counter()
        self._rules = rules
        self._is_futures = is_futures
        self._last = {members.TICKER: -1, members.TRADE: -1}
        self._waiting: dict[int, MessageBlock] = {}
        """Depth messages behind a hole, by their rows."""
        self._rows: list[DecodedRows] = []
        self._empty: tuple[int, ...] | None = None
        """`U`, `pu` and `u` of the empty depth messages taken last; None behind one with rows."""

    def set_rules(self, rules: ListedInstrument, row: int) -> None:
        """Begin another stretch if these rules have another fixed point than the last ones."""
        if rules.point == self._rules.point:
            return
        self.settle(set(), give_up=True)  # what waits is in pips of the old rules
        self._rules = rules
        self.numbering = replace(self.numbering, point=rules.point, from_row=row)

    def feed(self, block: MessageBlock, rows: Int64Array, arrivals: Int64Array, carriers: set[int]) -> None:
        """Decode messages in order of arrival.

        Args:
            block: The messages of this instrument.
            rows: int64[n], their rows of the raw log.
            arrivals: int64[n, 2], their connections and monotonic arrivals in ns.
            carriers: Open connections that carry the depth stream; those that bring a message join them.
        """
        start = 0
        while start < len(rows):
            start = self._feed_depth(block, rows, arrivals, carriers, start)

    def _feed_depth(
        self,
        block: MessageBlock,
        rows: Int64Array,
        arrivals: Int64Array,
        carriers: set[int],
        start: int,
    ) -> int:
        """Decode the messages from `start` to the end of the stretch, and return the place behind them."""
        places = start + np.flatnonzero(block.records[start:, scan.KIND] == members.DEPTH)
        stop = len(rows)
        off_tick = self._first_off_tick(block, places)
        if off_tick is not None:
            if off_tick == start:
                prices = block.deltas(np.array([start]), is_futures=self._is_futures).encoded_price
                self._begin_tick(int(np.gcd.reduce(prices)), int(rows[start]))
                return start
            places, stop = places[places < off_tick], off_tick
        handled = self._merge(block, rows, arrivals, carriers, places)
        if handled < len(places):
            stop = int(places[handled])
        self._feed_others(block, slice(start, stop))
        if stop < len(rows) and stop != off_tick:
            self._begin_numbering(int(rows[stop]))
        return stop

    def _merge(
        self,
        block: MessageBlock,
        rows: Int64Array,
        arrivals: Int64Array,
        carriers: set[int],
        places: Int64Array,
    ) -> int:
        """Merge the depth messages at `places`, and return how many of them come before a restart of the numbering."""
        records, connections = block.records[places], arrivals[places, 0]
        prev_ids = records[:, scan.PREV_ID] if self._is_futures else records[:, scan.FIRST_ID] - 1
        final_ids, event_ns = records[:, scan.FINAL_ID], records[:, scan.EVENT_NS]
        received_ns = block.received_ns[places]
        decoded, taken, at = self._decoded(), list[Int64Array](), 0
        while at < len(places):
            if not self.merge.waiting:
                is_taken = self.merge.feed_in_order(
                    prev_ids[at:], final_ids[at:], event_ns[at:], received_ns[at:], connections[at:]
                )
                behind = at + len(is_taken)
                carriers.update(np.unique(connections[at:behind]).tolist())
                taken.append(rows[places[at:behind][is_taken]])
                at = behind
                if at == len(places):
                    break
            place = places[at]
            message = DepthIds(
                int(prev_ids[at]),
                int(final_ids[at]),
                int(rows[place]),
                int(connections[at]),
                int(event_ns[at]),
                int(arrivals[place, 1]),
                int(received_ns[at]),
            )
            if self.merge.shows_restart(message):
                break
            carriers.add(message.connection)
            own: list[int] = []
            self.merge.feed(message, carriers, own, decoded.gaps)
            taken.append(np.array(own, np.int64))
            at += 1
        self._emit(block, rows, np.concatenate(taken) if taken else rows[:0])
        self._keep_waiting(block, rows)
        return at

    def settle(self, carriers: set[int], *, give_up: bool = False) -> None:
        """Take what waits and needs to wait no longer, after a connection has ended or nothing more will come."""
        taken: list[int] = []
        self.merge.settle(carriers, taken, self._decoded().gaps, give_up=give_up)
        self._emit(None, np.empty(0, np.int64), np.array(taken, np.int64))

    def add_snapshot(self, response: DepthResponse, received_ns: int, row: int) -> None:
        """Add a snapshot; one with a price off the tick begins another stretch."""
        divisor = gcd(*(price for price, _ in response.bids + response.asks))
        if divisor % self.numbering.point.tick_pips:
            self._begin_tick(divisor, row)
        self.counts["snapshots"] += 1
        self._decoded().snapshots.append(snapshot_row(response, received_ns))

    def drain(self) -> list[DecodedRows]:
        """Return the rows decoded since the last call."""
        rows, self._rows = self._rows, []
        return [each for each in rows if not each.is_empty]

    def _decoded(self) -> DecodedRows:
        if not self._rows or self._rows[-1].numbering != self.numbering:
            self._rows.append(DecodedRows(self.numbering))
        return self._rows[-1]

    def _first_off_tick(self, block: MessageBlock, places: Int64Array) -> int | None:
        """Return the place of the first depth message with a price that is no multiple of the tick."""
        levels = (block.records[places, each] for each in (scan.BIDS_START, scan.ASKS_END))
        first = depth_steps.first_off_tick(*levels, block.prices, self.numbering.point.tick_pips)
        return int(places[first]) if first < len(places) else None

    def _begin_tick(self, price_pips: int, row: int) -> None:
        """Begin another stretch whose tick divides the old one and a price, or the divisor of several."""
        tick = gcd(self.numbering.point.tick_pips, price_pips)
        self.counts["ticks_begun"] += 1
        point = replace(self.numbering.point, tick_pips=tick)
        self.numbering = replace(self.numbering, point=point, from_row=row)

    def _begin_numbering(self, row: int) -> None:
        """Begin another stretch because the exchange has begun its numbering anew."""
        self.settle(set(), give_up=True)
        self.counts["numberings_begun"] += 1
        self._add_merge_counts()
        self.merge, self._empty = DepthMerge(), None
        self._last[members.TICKER] = -1
        self.numbering = replace(self.numbering, from_row=row)

    def _emit(self, block: MessageBlock | None, rows: Int64Array, taken: Int64Array) -> None:
        """Add the rows of messages that were taken.

        Args:
            block: Messages at hand; None where all have waited.
            rows: int64[n], their rows of the raw log, ascending.
            taken: int64[m], rows of the messages that were taken, in order; those not among `rows` have waited.
        """
        pieces: list[DeltaBatch] = []
        places, is_here = _find(taken, rows)
        edges = [0, *(np.flatnonzero(np.diff(is_here)) + 1).tolist(), len(taken)]
        for begin, end in itertools.pairwise(edges):
            if begin < end and is_here[begin]:
                assert block is not None
                self._join_empty(block.records, places[begin:end])
                pieces.append(block.deltas(places[begin:end], is_futures=self._is_futures))
            else:
                for row in taken[begin:end].tolist():
                    waited, first = self._waiting.pop(row), np.array([0])
                    self._join_empty(waited.records, first)
                    pieces.append(waited.deltas(first, is_futures=self._is_futures))
        filled = [piece for piece in pieces if len(piece)]
        if filled:
            self._decoded().deltas.append(DeltaBatch.concat(filled))

    def _join_empty(self, records: Int64Array, places: Int64Array) -> None:
        """Give depth messages the ids of the empty ones right before them, which have no rows to tell them.

        Without them the ids would seem to be missing.

        Args:
            records: int64[n, COLUMNS] of `payload_scan`, changed in place.
            places: int64[m], the messages that were taken, in order.
        """
        is_empty = records[places, scan.ASKS_END] == records[places, scan.BIDS_START]
        is_behind = np.concatenate([[self._empty is not None], is_empty[:-1]])
        for place in places[is_empty | is_behind].tolist():
            record = records[place]
            before = record[scan.PREV_ID] if self._is_futures else record[scan.FIRST_ID] - 1
            if self._empty is not None and before <= self._empty[2]:
                record[scan.FIRST_ID] = min(record[scan.FIRST_ID], self._empty[0])
                record[scan.PREV_ID] = min(record[scan.PREV_ID], self._empty[1])
            ids = (int(record[each]) for each in (scan.FIRST_ID, scan.PREV_ID, scan.FINAL_ID))
            self._empty = tuple(ids) if record[scan.ASKS_END] == record[scan.BIDS_START] else None

    def _keep_waiting(self, block: MessageBlock, rows: Int64Array) -> None:
        """Keep the messages that wait, and forget those that turned out to be duplicates."""
        kept = {message.row for message in self.merge.waiting}
        self._waiting = {row: waited for row, waited in self._waiting.items() if row in kept}
        for row in kept - self._waiting.keys():
            self._waiting[row] = block.message(int(np.searchsorted(rows, row)))

    def _feed_others(self, block: MessageBlock, part: slice) -> None:
        """Add the tickers and trades of a part of the block that bring something new."""
        kinds = block.records[part, scan.KIND]
        self.counts["aggregates"] += int((kinds == members.AGGREGATE).sum())
        tickers, _ = self._new(block, part, members.TICKER, "ticker")
        if len(tickers):
            self._decoded().tickers.append(block.tickers(tickers))
        trades, missing = self._new(block, part, members.TRADE, "trade")
        self.counts["missing_trade_ids"] += missing
        is_market = block.records[trades, scan.IS_MARKET] == 1
        self.counts["trades_off_book"] += int((~is_market).sum())
        if is_market.any():
            self._decoded().trades.append(block.trades(trades[is_market]))

    def _new(self, block: MessageBlock, part: slice, kind: int, name: str) -> tuple[Int64Array, int]:
        """Return the places of a kind of message whose ids ascend, and how many ids they leave out."""
        places = part.start + np.flatnonzero(block.records[part, scan.KIND] == kind)
        ids, last = block.records[places, scan.FINAL_ID], self._last[kind]
        if not len(ids):
            return places, 0
        before = np.maximum.accumulate(np.concatenate([[last], ids[:-1]]))
        new = ids > before
        self.counts[f"{name}s"] += int(new.sum())
        self.counts[f"{name}_duplicates"] += int((~new).sum())
        self._last[kind] = max(last, int(ids.max()))
        missing = (ids - before - 1)[new]
        return places[new], int(missing[1:].sum() if last < 0 else missing.sum())

    def _add_merge_counts(self) -> None:
        for name in ("taken", "duplicates", "overlaps"):
            self.counts[f"depth_{name}"] += getattr(self.merge, name)

    def all_counts(self) -> dict[str, int]:
        """Return everything that was counted so far, by name."""
        merge = Counter(
            {f"depth_{name}": getattr(self.merge, name) for name in ("taken", "duplicates", "overlaps")}
        )
        return dict(sorted((self.counts + merge).items()))

    @property
    def is_waiting(self) -> bool:
        """Whether a message waits for another connection to fill a hole."""
        return bool(self.merge.waiting)

    def state(self) -> dict[str, Any]:
        """Return the state in a form that JSON holds; only while nothing waits."""
        merge = self.merge
        return {
            "rules": _to_json(self._rules.symbol, self._rules.instrument, self._rules.point),
            "point": self.numbering.point.to_metadata(),
            "from_row": self.numbering.from_row,
            "last": [merge.last_id, merge.last_event_ns, merge.last_received_ns, list(merge.reached.items())],
            "merge_counts": [merge.taken, merge.duplicates, merge.overlaps],
            "last_ids": [self._last[members.TICKER], self._last[members.TRADE]],
            "counts": dict(self.counts),
            "empty": self._empty,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], *, is_futures: bool) -> InstrumentDecoder:
        """Return the decoder that `state` was taken of."""
        symbol, key, point = state["rules"]
        rules = ListedInstrument(symbol, Instrument.parse(key), FixedPoint.from_metadata(point))
        decoder = cls(rules, state["from_row"], is_futures=is_futures)
        decoder.numbering = replace(decoder.numbering, point=FixedPoint.from_metadata(state["point"]))
        last_id, event_ns, received_ns, reached = state["last"]
        decoder.merge = DepthMerge(last_id, event_ns, dict(reached), last_received_ns=received_ns)
        decoder.merge.taken, decoder.merge.duplicates, decoder.merge.overlaps = state["merge_counts"]
        decoder._last = dict(zip((members.TICKER, members.TRADE), state["last_ids"], strict=True))
        decoder.counts = Counter(state["counts"])
        decoder._empty = tuple(state["empty"]) if state["empty"] else None
        return decoder


def _find(rows: Int64Array, ascending: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Return the place of each row among ascending ones, and whether it is there."""
    places = np.searchsorted(ascending, rows)
    is_here: BoolArray = places < len(ascending)
    is_here[is_here] = ascending[places[is_here]] == rows[is_here]
    return places, is_here


def _to_json(symbol: str, instrument: Instrument, point: FixedPoint) -> list[Any]:
    return [symbol, instrument.key, point.to_metadata()]
