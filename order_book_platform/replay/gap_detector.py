"""Gap candidates: places between two messages where a message may be missing, found by looking back only.

The gap report of a day and the replay of a live capture find them in the same way. What is done about them differs in
what each can know: a day knows which snapshot comes next, a live capture does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model.arrays import BoolArray, Int64Array


@dataclass(frozen=True, slots=True)
class GapCandidate:
    """A place between two consecutive messages where something may be missing.

    Attributes:
        cause: `chain`, `silence`, `unseen_snapshot` or `crossed`.
        before: Sequence number of the message before it.
        after: Sequence number of the message behind it.
        before_ns: Origin time of the message before it, ns; where that is not known, the last known one before.
        after_ns: Origin time of the message behind it, ns, by the same rule.
        missing_ids: Number of update ids that are missing where ids are contiguous; None elsewhere.
        detail: One sentence for a report.
        last_missing: Last update id that is missing; None where no ids tell.
    """

    cause: str
    before: int
    after: int
    before_ns: int
    after_ns: int
    missing_ids: int | None
    detail: str
    last_missing: int | None = None

    @property
    def recover_from(self) -> int:
        """Sequence number from which on a snapshot holds everything that was lost.

        Ids prove it of a snapshot whose own lies inside the message behind the gap, too.
        """
        return self.after if self.last_missing is None else self.last_missing

    @property
    def proven(self) -> bool:
        """Whether a loss is proven; a silence or a crossed book only suggests one."""
        return self.cause in ("chain", "unseen_snapshot")

    def is_small(self, recover_after_ns: int) -> bool:
        """Return whether flagging the rows is enough: a short silence, or a crossed book, which is repaired anyway."""
        short = self.cause == "silence" and self.after_ns - self.before_ns <= recover_after_ns
        return short or self.cause == "crossed"


class MessagePairs(NamedTuple):
    """Consecutive messages of a batch; the first pair begins with the last message of the batch before, if any.

    Attributes:
        before, after: int64[n], sequence numbers.
        before_ns, after_ns: int64[n], origin times, ns. A time that is not known (0 or below) is that of the message
            before; ahead of the first known time there are no pauses.
        rows: intp[n], first row of each `after` in the batch.
    """

    before: Int64Array
    after: Int64Array
    before_ns: Int64Array
    after_ns: Int64Array
    rows: NDArray[np.intp]

    @property
    def pauses(self) -> Int64Array:
        """int64[n]: time between the two messages, ns."""
        return self.after_ns - self.before_ns


@dataclass(slots=True)
class GapDetector:
    """Takes the deltas in order, batch by batch. It remembers the last message only.

    Attributes:
        silence_ns: A longer pause is a gap candidate where no ids prove the contrary.
        has_ids: Whether the source has given `U` or `pu` so far.
        messages: Number of messages so far.
        last_sequence: Sequence number of the last message.
        last_ns: Last origin time that is known, ns.
        is_cut: Whether the next message does not follow the last one in the stream.
    """

    silence_ns: int
    has_ids: bool = False
    messages: int = 0
    last_sequence: int = 0
    last_ns: int = 0
    is_cut: bool = False

    def cut(self) -> None:
        """Look for no gap between the last message and the next one: the next is from another part of the stream."""
        self.is_cut = True

    def feed(
        self, batch: DeltaBatch, snapshot_sequence: Int64Array
    ) -> tuple[MessagePairs, list[GapCandidate]]:
        """Find the gap candidates of the next messages.

        Args:
            batch: Whole messages, at least one.
            snapshot_sequence: int64[m], ascending: sequence numbers of all snapshots that may lie between them.

        Returns:
            The messages, each with the one before, and the candidates between them, in order.
        """
        is_begin = self.messages == 0
        pairs = self._pairs(batch)
        gaps = self._gap_before(batch, snapshot_sequence) if is_begin else []
        gaps += self._chain_gaps(batch, pairs)
        if not self.has_ids:
            # Where there are ids they prove every loss, and a REST snapshot's id may lie inside a message.
            gaps += _candidates("silence", pairs, pairs.pauses > self.silence_ns, _silence_detail(pairs))
            gaps += _unseen_snapshots(pairs, snapshot_sequence)
        return pairs, sorted(gaps, key=lambda gap: gap.after)

    def _pairs(self, batch: DeltaBatch) -> MessagePairs:
        sequence = batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        messages, is_first = sequence[starts], self.messages == 0 or self.is_cut
        origin = _carried_forward(batch.origin_time[starts], 0 if is_first else self.last_ns)
        if is_first:
            pairs = MessagePairs(messages[:-1], messages[1:], origin[:-1], origin[1:], starts[1:])
        else:
            before = np.concatenate([[self.last_sequence], messages[:-1]])
            before_ns = np.concatenate([[self.last_ns], origin[:-1]])
            pairs = MessagePairs(before, messages, before_ns, origin, starts)
        if not pairs.before_ns.all():  # what precedes the first known time is no pause
            pairs = pairs._replace(before_ns=np.where(pairs.before_ns > 0, pairs.before_ns, pairs.after_ns))
        self.messages += len(messages)
        self.is_cut = False
        self.last_sequence, self.last_ns = int(messages[-1]), int(origin[-1])
        return pairs

    def _gap_before(self, batch: DeltaBatch, snapshot_sequence: Int64Array) -> list[GapCandidate]:
        """Return the loss between the first snapshot and the first message, if ids prove one.

        A snapshot that is older than the deltas would seed a book that lacks what lies between.
        """
        follows, after = _follows(batch), int(batch.sequence_number[0])
        if follows is None or not len(snapshot_sequence) or snapshot_sequence[0] >= follows[0]:
            return []
        before, last = int(snapshot_sequence[0]), int(follows[0])
        origin_ns = int(batch.origin_time[0])
        missing_ids = last - before if batch.prev_final_update_id is None else None
        detail = f"the first message follows {last}, and the first snapshot is of {before}"
        return [
            GapCandidate("chain", before, after, origin_ns, origin_ns, missing_ids, detail, min(last, after))
        ]

    def _chain_gaps(self, batch: DeltaBatch, pairs: MessagePairs) -> list[GapCandidate]:
        """Return proven losses: futures `pu` is greater than the previous `u`, or spot `U` than the previous `u` + 1.

        A smaller one is an overlap of two connections, in which nothing is lost, unless the message's own number is
        not greater than the previous one either: then the numbering goes back.
        """
        follows = _follows(batch)
        if follows is None:
            return []
        self.has_ids = True
        follows = follows[pairs.rows]
        name, step = ("pu", 0) if batch.prev_final_update_id is not None else ("U", 1)
        found, wanted = follows + step, pairs.before + step
        missing = found - wanted if name == "U" else None
        return _candidates(
            "chain",
            pairs,
            (found > wanted) | (pairs.after <= pairs.before),
            lambda i: f"{name} is {found[i]} where {wanted[i]} was due",
            missing,
            np.where((follows > pairs.before) & (follows < pairs.after), follows, pairs.after),
        )


def _follows(batch: DeltaBatch) -> Int64Array | None:
    """Return int64[n]: the update id that each row's message follows, `pu` or on spot `U` - 1; None without ids."""
    if batch.prev_final_update_id is not None:
        return batch.prev_final_update_id
    return None if batch.first_update_id is None else batch.first_update_id - 1


def _carried_forward(origin_ns: Int64Array, before_ns: int) -> Int64Array:
    """Return times int64[n] with the last known one, at first `before_ns`, in place of unknown ones (0 or below)."""
    known = origin_ns > 0
    if known.all():
        return origin_ns
    at = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return np.asarray(np.where(at >= 0, origin_ns[at], before_ns), np.int64)


def _candidates(
    cause: str,
    pairs: MessagePairs,
    where: BoolArray,
    detail: Callable[[int], str],
    missing_ids: Int64Array | None = None,
    last_missing: Int64Array | None = None,
) -> list[GapCandidate]:
    """Return a candidate for each pair at which `where`, bool[n], holds; `detail` is given the pair's position."""
    return [
        GapCandidate(
            cause,
            int(pairs.before[i]),
            int(pairs.after[i]),
            int(pairs.before_ns[i]),
            int(pairs.after_ns[i]),
            None if missing_ids is None else int(missing_ids[i]),
            detail(i),
            None if last_missing is None else int(last_missing[i]),
        )
        for i in np.flatnonzero(where).tolist()
    ]


def _silence_detail(pairs: MessagePairs) -> Callable[[int], str]:
    pauses = pairs.pauses
    return lambda i: f"no message for {pauses[i] / 1e9:.3f} s"


def unseen_counts(pairs: MessagePairs, snapshot_sequence: Int64Array) -> Int64Array:
    """Count the snapshots, int64[m] ascending, that lie between the messages of each pair; returns int64[n]."""
    low = np.searchsorted(snapshot_sequence, pairs.before, "right")
    return np.asarray(np.searchsorted(snapshot_sequence, pairs.after, "left") - low, np.int64)


def _unseen_snapshots(pairs: MessagePairs, snapshot_sequence: Int64Array) -> list[GapCandidate]:
    """Return gaps at snapshots between two messages: the message that such a snapshot was taken after is lost."""
    counts = unseen_counts(pairs, snapshot_sequence)
    return _candidates(
        "unseen_snapshot",
        pairs,
        counts > 0,
        lambda i: f"{counts[i]} snapshot(s) of messages that are not in the deltas",
    )
