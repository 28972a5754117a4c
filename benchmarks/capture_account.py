"""The ledger of what the exchange sent against the raw log of a capture: archived, inside a gap, or unreported.

Of each message that was sent the log has to have its bytes, from this connection or from another one, or a `gap` row
of its stream where it is missing. A depth message is also archived where the messages of all connections together cover
its update ids. What was on its way when a connection ended, at the end of the run, is neither: nobody can have read it.
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
HEAD_BYTES = 300
FOREVER_NS = 1 << 62


class Gap(NamedTuple):
    """A `gap` row of the raw log; times by the wall clock, ns.

    Attributes:
        streams: its streams; none for all.
    """

    why: str
    streams: frozenset[str]
    from_ns: int
    to_ns: int
    dropped: int


@dataclass(slots=True)
class Account:
    """What became of the messages of a run.

    Attributes:
        sent: messages that the exchange wrote whole, without those that were on their way at the end.
        archived: those whose content is in the log.
        in_gaps: those that are not, and lie inside a reported gap.
        unreported: all others, as (stream, number, time of sending by the wall clock, ns).
        on_their_way: messages that were sent last on a connection, before it ended with the run.
        gaps: gaps of the log by reason.
        dropped: messages that the capture says it has dropped.
    """

    sent: int = 0
    archived: int = 0
    in_gaps: int = 0
    unreported: list[tuple[str, int, int]] = field(default_factory=list)
    on_their_way: int = 0
    gaps: Counter[str] = field(default_factory=Counter)
    dropped: int = 0


@dataclass(slots=True)
class Archive:
    """What the raw log has.

    Attributes:
        numbers: int64[n, 2] by connection and stream, in order of arrival: of depth the id that a message follows and
            its last id, of others the number before its own and its own.
        times_ns: their arrivals by the wall clock, ns.
        opened_ns: when each connection was opened, ns.
        open_at_end: connections behind whose end nothing arrived or was opened any more: the run was over.
        gaps: its gaps.
    """

    numbers: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    times_ns: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    opened_ns: dict[int, int] = field(default_factory=dict)
    open_at_end: set[int] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)

    def spans(self, stream: str) -> np.ndarray:
        """Return int64[n, 2], ascending: ids that messages of all connections cover without a hole."""
        parts = [numbers for (_, name), numbers in self.numbers.items() if name == stream]
        ids = np.concatenate([np.empty((0, 2), np.int64), *parts])
        ids = ids[np.lexsort((ids[:, 1], ids[:, 0]))]
        reach = np.maximum.accumulate(ids[:, 1])
        starts = np.flatnonzero(np.append(True, ids[1:, 0] > reach[:-1])[: len(ids)])
        ends = np.append(starts[1:], len(ids))[: len(starts)]
        return np.stack([ids[starts, 0], reach[ends - 1]], 1)

    def arrivals_ns(self, stream: str) -> np.ndarray:
        """Return int64[n], ascending: arrivals of a stream by any connection, ns."""
        parts = [times for (_, name), times in self.times_ns.items() if name == stream]
        return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def read_archive(folder: Path, keys: MasterKeys | None = None) -> Archive:
    """Read a raw log."""
    found = Archive()
    numbers, times = defaultdict(list), defaultdict(list)
    last_ns = 0
    ended: dict[int, tuple[str, int]] = {}
    for piece in LogReader(folder, keys).read():
        for row in _own_rows(piece.batch):
            detail, now_ns = json.loads(row["detail"]), row["received_time"]
            if row["kind"] == "connect":
                found.opened_ns[row["connection"]] = now_ns
            elif row["kind"] == "close":
                ended[row["connection"]] = detail["by"], now_ns
            else:
                from_ns = now_ns - row["monotonic_time"] + detail["from_monotonic_ns"]
                streams = frozenset(detail["streams"])
                if detail["why"] == "killed":
                    ended |= {each: ("killed", now_ns) for each in found.opened_ns if each not in ended}
                found.gaps.append(Gap(detail["why"], streams, from_ns, now_ns, detail["dropped"] or 0))
        for connection, stream, ids, arrivals in _messages(piece.batch):
            numbers[connection, stream].append(ids)
            times[connection, stream].append(arrivals)
            last_ns = max(last_ns, int(arrivals[-1]))
    found.numbers = {key: np.concatenate(parts) for key, parts in numbers.items()}
    found.times_ns = {key: np.concatenate(parts) for key, parts in times.items()}
    newest_ns = max(found.opened_ns.values(), default=0)
    for connection in found.opened_ns:
        by, at_ns = ended.get(connection, ("recorder", last_ns))
        if at_ns >= max(last_ns, newest_ns) and by != "killed":
            found.open_at_end.add(connection)
    return found


def _own_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    own = batch.filter(pc.is_in(batch["kind"], pa.array(["connect", "close", "gap"])))
    rows: list[dict[str, Any]] = own.drop_columns(["payload"]).to_pylist()
    return rows


def _messages(batch: pa.RecordBatch) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Numbers and arrivals of the data messages by connection and stream."""
    batch = batch.filter(pc.and_(pc.equal(batch["kind"], "message"), pc.invert(batch["binary"])))
    payload = batch["payload"]
    heads = pc.binary_slice(payload, 0, HEAD_BYTES).cast(pa.string())
    parts = pc.extract_regex(heads, HEAD)
    is_data = pc.and_(pc.is_valid(parts), pc.equal(pc.binary_slice(payload, -1, None), b"}"))
    parts, batch = parts.filter(is_data), batch.filter(is_data)
    if not len(batch):
        return
    before, first, number = (
        pc.replace_substring_regex(pc.struct_field(parts, name), "^$", "-1").cast(pa.int64()).to_numpy()
        for name in ("before", "first", "number")
    )
    before = np.where(before >= 0, before, np.where(first >= 0, first, number) - 1)
    ids = np.stack([before, number], 1)
    codes = pc.dictionary_encode(pc.struct_field(parts, "stream"))
    connections, code = batch["connection"].to_numpy(), np.asarray(codes.indices)
    times = batch["received_time"].to_numpy()
    for connection in np.unique(connections).tolist():
        for at, stream in enumerate(codes.dictionary.to_pylist()):
            chosen = (connections == connection) & (code == at)
            if chosen.any():
                yield connection, stream, ids[chosen], times[chosen]


def account(ledger: pa.Table, archive: Archive) -> Account:
    """Hold a ledger against the log of the only capture that listened.

    Args:
        ledger: rows with `LEDGER_SCHEMA`.
        archive: what the log has.
    """
    found = Account(gaps=Counter(gap.why for gap in archive.gaps))
    found.dropped = sum(gap.dropped for gap in archive.gaps)
    ours = _matched(archive.opened_ns, ledger.filter(pc.equal(ledger["kind"].cast(pa.string()), "open")))
    sent = pc.and_(
        pc.equal(ledger["kind"].cast(pa.string()), "message"),
        pc.equal(ledger["fate"].cast(pa.string()), "sent"),
    )
    messages = ledger.filter(sent)
    codes = pc.dictionary_encode(messages["stream"].cast(pa.string())).combine_chunks()
    code, connections = np.asarray(codes.indices), messages["connection"].to_numpy()
    for at, stream in enumerate(codes.dictionary.to_pylist()):
        spans, arrivals_ns = archive.spans(stream), archive.arrivals_ns(stream)
        for connection in np.unique(connections[code == at]).tolist():
            rows = messages.take(np.flatnonzero((connections == connection) & (code == at)))
            number = ours.get(connection, -1)
            received = archive.numbers.get((number, stream), np.empty((0, 2), np.int64))[:, 1]
            numbers, times = rows["final_update_id"].to_numpy(), rows["time_ns"].to_numpy()
            there = np.isin(numbers, received)
            archived = there | _is_covered(rows, spans)
            last = int(np.flatnonzero(there).max(initial=-1))
            found.archived += int(archived.sum())
            for row in np.flatnonzero(~archived).tolist():
                if row > last and number in archive.open_at_end:
                    found.on_their_way += 1
                elif _is_reported(archive.gaps, stream, int(times[row]), arrivals_ns):
                    found.in_gaps += 1
                else:
                    found.unreported.append((stream, int(numbers[row]), int(times[row])))
    found.sent = found.archived + found.in_gaps + len(found.unreported)
    return found


def _matched(opened_ns: dict[int, int], opened: pa.Table) -> dict[int, int]:
    """Connections of the capture by those of the exchange: each belongs to the last one that had been opened before."""
    times, numbers = opened["time_ns"].to_pylist(), opened["connection"].to_pylist()
    found: dict[int, int] = {}
    for ours, time_ns in sorted(opened_ns.items(), key=lambda item: item[1]):
        free = [i for i, each in enumerate(times) if each <= time_ns and numbers[i] not in found]
        if free:
            found[numbers[free[-1]]] = ours
    return found


def _is_covered(rows: pa.Table, spans: np.ndarray) -> np.ndarray:
    """Whether the ids of messages lie within spans, int64[n, 2], ascending, each behind its first id to its last."""
    last = rows["final_update_id"].to_numpy()
    before = np.asarray(rows["prev_final_update_id"].fill_null(-1))
    first = np.asarray(rows["first_update_id"].fill_null(-1))
    before = np.where(before >= 0, before, first - 1)
    if not len(spans):
        return np.zeros(len(last), np.bool_)
    at = np.minimum(np.searchsorted(spans[:, 1], last, "left"), len(spans) - 1)
    return np.asarray((spans[at, 0] <= before) & (last <= spans[at, 1]), np.bool_)


def _is_reported(gaps: list[Gap], stream: str, sent_ns: int, arrivals_ns: np.ndarray) -> bool:
    """Whether a gap of the stream meets the time between the arrivals around a message that is missing."""
    place = int(np.searchsorted(arrivals_ns, sent_ns))
    before = int(arrivals_ns[place - 1]) if place else 0
    after = int(arrivals_ns[place]) if place < len(arrivals_ns) else FOREVER_NS
    return any(
        gap.from_ns <= after and gap.to_ns >= before
        for gap in gaps
        if not gap.streams or stream in gap.streams
    )
