"""Whether a new connection overlaps with the one that it is going to replace, stream by stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from order_book_platform.capture.session.connection import Connection
from order_book_platform.capture.session.stream_watch import Seat
from order_book_platform.clock import NS_PER_SECOND

Outcome = Literal["covered", "lost", "open"]
GRACE_NS = 10 * NS_PER_SECOND
"""How much later the slower of two connections may bring the same message."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Streams of two connections by what is known about their overlap.

    Attributes:
        proven: the old connection has come to where the new one began: nothing lies between them.
        quiet: neither has brought anything since the new one was opened, for long enough.
        unproven: the new one has begun, and the old one has not come to there although it had time.
        missing: the old one brings messages, and the new one does not.
        open: neither is known yet.
    """

    proven: tuple[str, ...]
    quiet: tuple[str, ...]
    unproven: tuple[str, ...]
    missing: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether the old connection is needed no more."""
        return not self.open and not self.missing


def compare(
    old: dict[bytes, Seat], new: dict[bytes, Seat], opened_ns: int, now_ns: int, quiet_after_ns: int
) -> Overlap:
    """Compare the streams of two connections.

    Args:
        old: streams of the connection to be replaced.
        new: the same streams on its successor.
        opened_ns: monotonic time at which the successor was opened.
        now_ns: monotonic time.
        quiet_after_ns: time after which a stream that brings nothing is left alone.
    """
    found: dict[str, list[str]] = {"proven": [], "quiet": [], "unproven": [], "missing": [], "open": []}
    for name, seat in new.items():
        state = _state(old[name], seat, opened_ns, now_ns, quiet_after_ns)
        found[state].append(seat.watch.spec.name)
    return Overlap(**{state: tuple(names) for state, names in found.items()})


def is_proven(old: Seat, new: Seat) -> bool:
    """Say whether the old connection's messages of a stream reach to the new one's first."""
    if new.first_previous is None:
        # Streams without ids: both have brought messages at the same time.
        return new.messages > 0 and new.watch.spec.kind == "other" and old.last_ns >= new.first_ns
    return old.last >= new.first_previous


def outcome(name: bytes, ended: Connection, other: Connection, now_ns: int) -> Outcome:
    """Say what became of a stream whose connection has ended without notice, while another connection lives on.

    Whatever was on its way at the end was sent after everything that had come. So it has been sent on a connection that
    was opened later, too, if that had been open for longer than the slower of two connections may be behind.

    Args:
        name: name of the stream.
        ended: the connection that has ended.
        other: the other one.
        now_ns: monotonic time.

    Returns:
        Whether nothing is missing, or something may be, or the other's next message will tell.
    """
    old, new = ended.seats[name], other.seats[name]
    if other.opened_ns < ended.opened_ns:
        return "covered" if new.last >= old.last else "open"
    if new.unreadable_ns > ended.pauses.last_ns:
        return "lost"  # the one that was damaged here may have been whole on its way there
    if is_proven(old, new) or new.is_joined:
        return "covered"
    is_long = ended.pauses.last_ns - other.opened_ns > GRACE_NS
    if new.messages:
        return "covered" if is_long and now_ns - new.first_ns <= GRACE_NS else "lost"
    is_quiet = old.last_ns <= other.opened_ns and other.pauses.last_ns > 0
    return "covered" if is_long and is_quiet else "open"


def _state(old: Seat, new: Seat, opened_ns: int, now_ns: int, quiet_after_ns: int) -> str:
    if is_proven(old, new):
        return "proven"
    if new.messages:
        return "unproven" if now_ns - new.first_ns > GRACE_NS else "open"
    if old.last_ns > opened_ns:
        return "missing" if now_ns - old.last_ns > GRACE_NS or now_ns - opened_ns > quiet_after_ns else "open"
    return "quiet" if now_ns - opened_ns > quiet_after_ns else "open"
