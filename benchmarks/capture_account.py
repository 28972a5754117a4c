"""The ledger of what the exchange sent against the raw log of a capture: archived, inside a gap, or unreported.

Of each message that was sent the log has to have its bytes, from this connection or from another one, or a `gap` row
of its stream where it is missing. A depth message is also archived where the messages of all connections together cover
its update ids. What the exchange has damaged counts as well: cut texts and binary frames have to be there as they
came. A gap is held against ids and the order of rows, not against the clock: it reports a hole in the ids if its row
comes behind the hole and its time begins before the hole ends.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.storage import LogReader
from order_book_platform.storage.master_keys import MasterKeys

HEAD = (
    r'^\{"stream":"(?P<stream>[^"]+)","data":\{[^\[]*?(?:"U":(?P<first>\d+),)?"(?:u|t)":(?P<number>\d+)'
    r'(?:,"pu":(?P<before>\d+))?'
)
"""Stream and ids of a message: `U`, `u` and `pu` of depth, `u` of tickers, `t` of trades; all in its first bytes."""
STREAM = r'^\{"stream":"(?P<stream>[^"]+)","data":'
HEAD_BYTES = 300
BATCH_ROWS = 10_000
ANYWHERE = frozenset({"disconnected", "killed", "buffer_full"})
"""Reasons of gaps that are recorded before a message behind them has come."""
PREV, LAST, TIME, ROW = range(4)


class Gap(NamedTuple):
    """A `gap` row of the raw log.

    Attributes:
        why: its reason.
        streams: its streams; none for all.
        from_ns: monotonic time from which on messages may be missing, ns.
        to_ns: monotonic time of the row, ns.
        dropped: messages known to be dropped.
        row: number of the row.
    """

    why: str
    streams: frozenset[str]
    from_ns: int
    to_ns: int
    dropped: int
    row: int

    def is_of(self, stream: str) -> bool:
        """Whether it is about a stream."""
        return not self.streams or stream in self.streams

    def is_open(self, last_ns: int) -> bool:
        """Whether it tells of what lies behind the last message before it, whose monotonic arrival is `last_ns`.

        A silence does if it begins there: the capture ended. Others are recorded behind the first message that follows.
        """
        return self.why in ANYWHERE or (self.why == "silence" and self.from_ns >= last_ns)


class Hole(NamedTuple):
    """Ids of a stream between two messages, which nothing in the log covers.

    Attributes:
        after: last id before it; -1 where nothing was archived before.
        until: last id that may lie in it; None where nothing was archived behind.
        left: row and monotonic arrival, ns, of the message before it; (-1, 0) for none.
        right: the same of the message behind it; None for none.
    """

    after: int
    until: int | None
    left: tuple[int, int]
    right: tuple[int, int] | None

    def is_reported_by(self, gap: Gap) -> bool:
        """Whether a gap of the stream reports it: it has seen both of its ends, or lies between them."""
        if gap.row < self.left[0]:
            return False
        if self.right is None or gap.row < self.right[0]:
            return gap.is_open(self.left[1])
        return gap.from_ns < self.right[1] or gap.from_ns == self.left[1] == self.right[1]


@dataclass(slots=True)
class Account:
    """What became of the messages of a run.

    Attributes:
        sent: messages that the exchange wrote, damaged ones and binary frames included.
        archived: those whose content is in the log.
        in_gaps: those that are not, and lie inside a reported gap.
        unreported: all others, as (stream, number, time of sending by the wall clock, ns).
        damaged: of those sent, cut texts, binary frames and frames that no client takes.
        gaps: gaps of the log by reason.
        dropped: messages that the capture says it has dropped.
    """

    sent: int = 0
    archived: int = 0
    in_gaps: int = 0
    unreported: list[tuple[str, int, int]] = field(default_factory=list)
    damaged: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    dropped: int = 0


@dataclass(slots=True)
class Archive:
    """What the raw log has.

    Attributes:
        messages: int64[n, 4] by connection and stream, in order of arrival: of depth the id that a message follows and
            its last id, of others the number before its own and its own; monotonic arrival, ns; row.
        opened_ns: when each connection was opened, by the wall clock, ns.
        cut: texts without an end by connection and stream.
        binary: binary messages by connection.
        gaps: its gaps, in order.
    """

    messages: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    opened_ns: dict[int, int] = field(default_factory=dict)
    cut: Counter[tuple[int, str]] = field(default_factory=Counter)
    binary: Counter[int] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)

    def of_stream(self, stream: str) -> np.ndarray:
        """Return the messages of a stream by all connections, by their ids and then in order of arrival."""
        parts = [part for (_, name), part in self.messages.items() if name == stream]
        found = np.concatenate([np.empty((0, 4), np.int64), *parts])
        return found[np.lexsort((found[:, ROW], found[:, LAST], found[:, PREV]))]


class Covered:
    """What the log has of one stream, and where it has holes.

    Args:
        messages: int64[n, 4], by their ids.
        gaps: gaps of the stream.
    """

    def __init__(self, messages: np.ndarray, gaps: list[Gap]) -> None:
        self._messages = messages
        self._gaps = gaps
        reach = np.maximum.accumulate(messages[:, LAST])
        starts = np.flatnonzero(np.append(True, messages[1:, PREV] > reach[:-1])[: len(messages)])
        ends = np.append(starts[1:], len(messages))[: len(starts)] - 1
        self.spans = np.stack([messages[starts, PREV], reach[ends]], 1)
        """int64[n, 2], ascending: ids that messages cover without a hole, behind the first to the last."""
        self._starts = starts

    def has(self, before: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Say of messages whether spans cover their ids."""
        if not len(self.spans):
            return np.zeros(len(last), np.bool_)
        at = np.minimum(np.searchsorted(self.spans[:, 1], last, "left"), len(self.spans) - 1)
        return np.asarray((self.spans[at, 0] <= before) & (last <= self.spans[at, 1]), np.bool_)

    def is_reported(self, before: int, last: int) -> bool:
        """Whether each hole in the ids of a message lies inside a gap."""
        first = int(
            np.searchsorted(self.spans[:, 1], before, "right")
        )  # the first span that ends behind `before`
        behind = int(
            np.searchsorted(self.spans[:, 0], last, "left")
        )  # the first one that begins at `last` or later
        holes = [self._hole(at) for at in range(first, behind + 1)]
        holes = [hole for hole in holes if hole.after < last and (hole.until is None or before < hole.until)]
        return all(any(hole.is_reported_by(gap) for gap in self._gaps) for hole in holes)

    def _hole(self, at: int) -> Hole:
        """Return the hole before span number `at`."""
        after, left = -1, (-1, 0)
        if at:
            after = int(self.spans[at - 1, 1])
            left = _first(self._messages[self._messages[:, LAST] == after])
        if at == len(self.spans):
            return Hole(after, None, left, None)
        until = int(self.spans[at, 0])
        return Hole(after, until, left, _first(self._messages[self._messages[:, PREV] == until]))


def _first(messages: np.ndarray) -> tuple[int, int]:
    """Row and arrival of the first one to arrive."""
    row = messages[np.argmin(messages[:, ROW])]
    return int(row[ROW]), int(row[TIME])


def read_archive(folder: Path, keys: MasterKeys | None = None) -> Archive:
    """Read a raw log."""
    found = Archive()
    messages: dict[tuple[int, str], list[np.ndarray]] = defaultdict(list)
    for batch, first_row in _large_batches(LogReader(folder, keys)):
        rows = np.arange(first_row, first_row + batch.num_rows)
        for row, number in _own_rows(batch, rows):
            detail = json.loads(row["detail"])
            if row["kind"] == "connect":
                found.opened_ns[row["connection"]] = row["received_time"]
            else:
                streams = frozenset(detail["streams"])
                times = detail["from_monotonic_ns"], row["monotonic_time"]
                found.gaps.append(Gap(detail["why"], streams, *times, detail["dropped"] or 0, number))
        _add_messages(batch, rows, found, messages)
    found.messages = {key: np.concatenate(parts) for key, parts in messages.items()}
    return found


def _large_batches(log: LogReader) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Give the rows of a log in batches that are worth a look, and the number of the first row of each."""
    waiting: list[pa.RecordBatch] = []
    first_row = rows = 0
    for piece in log.read():
        if not waiting:
            first_row = piece.first_row
        waiting.append(piece.batch)
        rows += piece.batch.num_rows
        if rows >= BATCH_ROWS:
            yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0], first_row
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0], first_row


def _own_rows(batch: pa.RecordBatch, rows: np.ndarray) -> Iterator[tuple[dict[str, Any], int]]:
    own = pc.is_in(batch["kind"], pa.array(["connect", "gap"]))
    numbers = rows[own.to_numpy(zero_copy_only=False)].tolist()
    yield from zip(batch.filter(own).drop_columns(["payload"]).to_pylist(), numbers, strict=True)


def _add_messages(
    batch: pa.RecordBatch,
    rows: np.ndarray,
    found: Archive,
    messages: dict[tuple[int, str], list[np.ndarray]],
) -> None:
    """Sort the messages of a batch by connection and stream."""
    is_message = pc.equal(batch["kind"], "message")
    binary = pc.and_(is_message, batch["binary"])
    found.binary.update(batch["connection"].filter(binary).to_pylist())
    chosen = pc.and_(is_message, pc.invert(batch["binary"]))
    rows, batch = rows[chosen.to_numpy(zero_copy_only=False)], batch.filter(chosen)
    heads = pc.binary_slice(batch["payload"], 0, HEAD_BYTES).cast(pa.string())
    whole = pc.equal(pc.binary_slice(batch["payload"], -1, None), b"}")
    cut = pc.extract_regex(heads.filter(pc.invert(whole)), STREAM)
    names = pc.struct_field(cut, "stream").to_pylist()
    found.cut.update(zip(batch["connection"].filter(pc.invert(whole)).to_pylist(), names, strict=True))
    parts = pc.extract_regex(heads, HEAD)
    is_data = pc.and_(pc.is_valid(parts), whole)
    parts, batch, rows = (
        parts.filter(is_data),
        batch.filter(is_data),
        rows[is_data.to_numpy(zero_copy_only=False)],
    )
    before, first, number = (
        pc.replace_substring_regex(pc.struct_field(parts, name), "^$", "-1").cast(pa.int64()).to_numpy()
        for name in ("before", "first", "number")
    )
    before = np.where(before >= 0, before, np.where(first >= 0, first, number) - 1)
    table = np.stack([before, number, batch["monotonic_time"].to_numpy(), rows], 1)
    codes = pc.dictionary_encode(pc.struct_field(parts, "stream"))
    connections, code = batch["connection"].to_numpy(), np.asarray(codes.indices)
    for connection in np.unique(connections).tolist():
        for at, stream in enumerate(codes.dictionary.to_pylist()):
            mine = (connections == connection) & (code == at)
            if mine.any():
                messages[connection, stream].append(table[mine])


def account(ledger: pa.Table, archive: Archive) -> Account:
    """Hold a ledger against the log of the only capture that listened.

    Args:
        ledger: rows with `LEDGER_SCHEMA`.
        archive: what the log has.
    """
    found = Account(gaps=Counter(gap.why for gap in archive.gaps))
    found.dropped = sum(gap.dropped for gap in archive.gaps)
    kinds = ledger["kind"].cast(pa.string())
    ours = _matched(archive.opened_ns, ledger.filter(pc.equal(kinds, "open")))
    written = pc.is_in(ledger["fate"].cast(pa.string()), pa.array(["sent", "damaged"]))
    messages = ledger.filter(pc.and_(pc.equal(kinds, "message"), written))
    codes = pc.dictionary_encode(messages["stream"].cast(pa.string())).combine_chunks()
    code, connections = np.asarray(codes.indices), messages["connection"].to_numpy()
    for at, stream in enumerate(codes.dictionary.to_pylist()):
        covered = Covered(archive.of_stream(stream), [gap for gap in archive.gaps if gap.is_of(stream)])
        for connection in np.unique(connections[code == at]).tolist():
            rows = messages.take(np.flatnonzero((connections == connection) & (code == at)))
            _hold(found, rows, stream, ours.get(connection, -1), archive, covered)
    binary = ledger.filter(pc.equal(kinds, "binary"))
    for connection, sent in Counter(binary["connection"].to_pylist()).items():
        _hold_binary(found, sent, ours.get(connection, -1), archive)
    found.sent = found.archived + found.in_gaps + len(found.unreported)
    return found


def _hold(
    found: Account, rows: pa.Table, stream: str, connection: int, archive: Archive, covered: Covered
) -> None:
    """Account for the messages of a stream on one of the capture's connections."""
    received = archive.messages.get((connection, stream), np.empty((0, 4), np.int64))[:, LAST]
    last, times = rows["final_update_id"].to_numpy(), rows["time_ns"].to_numpy()
    before = np.asarray(rows["prev_final_update_id"].fill_null(-1))
    first = np.asarray(rows["first_update_id"].fill_null(-1))
    before = np.where(before >= 0, before, first - 1)
    is_whole = np.asarray(pc.equal(rows["fate"].cast(pa.string()), "sent"))
    is_cut = np.asarray(pc.equal(rows["fault"].cast(pa.string()), "malformed").fill_null(False)) & ~is_whole
    kept = np.flatnonzero(is_cut)[: archive.cut[connection, stream]]  # a connection keeps its order
    there = is_whole & np.isin(last, received)
    there[kept] = True
    there |= covered.has(before, last)
    found.damaged += int((~is_whole).sum())
    found.archived += int(there.sum())
    for row in np.flatnonzero(~there).tolist():
        if covered.is_reported(int(before[row]), int(last[row])):
            found.in_gaps += 1
        else:
            found.unreported.append((stream, int(last[row]), int(times[row])))


def _hold_binary(found: Account, sent: int, connection: int, archive: Archive) -> None:
    """Account for binary frames; they have no ids, so those that are missing need a connection that was lost."""
    kept = min(sent, archive.binary[connection])
    found.damaged += sent
    found.archived += kept
    ends = [part[-1] for (number, _), part in archive.messages.items() if number == connection]
    last_row = max((int(end[ROW]) for end in ends), default=-1)
    if any(gap.why in ANYWHERE and gap.row > last_row for gap in archive.gaps):
        found.in_gaps += sent - kept
    else:
        found.unreported += [("binary", connection, 0)] * (sent - kept)


def _matched(opened_ns: dict[int, int], opened: pa.Table) -> dict[int, int]:
    """Connections of the capture by those of the exchange: each belongs to the last one that had been opened before."""
    times, numbers = opened["time_ns"].to_pylist(), opened["connection"].to_pylist()
    found: dict[int, int] = {}
    for ours, time_ns in sorted(opened_ns.items(), key=lambda item: item[1]):
        free = [i for i, each in enumerate(times) if each <= time_ns and numbers[i] not in found]
        if free:
            found[numbers[free[-1]]] = ours
    return found
