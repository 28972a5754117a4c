"""Checks of `obp doctor` about captures: their folder, keys, clock, state, and how long the disk lasts."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from order_book_platform.cli.doctor_finding import Finding, age_text, check_writable, existing
from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, Clock, iso_from_ns
from order_book_platform.errors import LogKeyError, OrderBookPlatformError

if TYPE_CHECKING:
    from order_book_platform.settings import CaptureSettings, Settings
    from order_book_platform.storage.master_keys import MasterKeys

CLOCK_WITHIN_S = 3.0
"""Longest wait for the offset of the clock, in seconds: without a network names are asked for much longer."""
SHORTEST_NS = 10 * NS_PER_SECOND
"""Time that a capture has to span for its size to say something about a day."""
SILENT_NS = 120 * NS_PER_SECOND
"""A capture that is at work and has no row for longer has a problem."""


@dataclass(frozen=True, slots=True)
class CaptureState:
    """A capture as it was found.

    Attributes:
        bytes: Size of its raw log.
        first_ns: Smallest arrival of its first segment; None without rows.
        last_ns: Greatest arrival of its last segment.
        is_recording: Whether a process holds its lock.
        sealed_bytes: Size of its sealed segments, in which rows end up.
        sealed_ns: Greatest arrival of them; None without any.
    """

    bytes: int
    first_ns: int | None
    last_ns: int
    is_recording: bool
    sealed_bytes: int = 0
    sealed_ns: int | None = None

    @property
    def bytes_per_day(self) -> float | None:
        """Size that a day takes, sealed if any segment is; None where there is too little to tell."""
        if self.first_ns is None:
            return None
        size, end_ns = (
            (self.bytes, self.last_ns) if self.sealed_ns is None else (self.sealed_bytes, self.sealed_ns)
        )
        span_ns = end_ns - self.first_ns
        return None if span_ns < SHORTEST_NS else size * NS_PER_DAY / span_ns


def check_captures(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Check the folder of captures, their keys, each capture, its disk space, and the source of the clock's offset."""
    from order_book_platform.sources.binance.finished_days import capture_folders
    from order_book_platform.storage.master_keys import load_master_keys

    root = settings.capture_root
    yield check_writable("capture root", root)
    folders = capture_folders(root)
    keys: MasterKeys | None = None
    try:
        keys = load_master_keys(settings.capture.key_file)
    except LogKeyError as error:
        yield Finding("capture keys", "fail", f"{error.where}: {error.found}", error.remedy)
    else:
        yield _check_keys(keys, has_captures=bool(folders))
    states = []
    for folder in folders:
        try:
            states.append(state := capture_state(folder / "raw", keys))
        except (OrderBookPlatformError, OSError) as error:
            remedy = error.remedy if isinstance(error, OrderBookPlatformError) else "Look at its files."
            where = getattr(error, "found", str(error))
            yield Finding(f"capture {folder.name}", "warn", f"cannot be read: {where}", remedy)
        else:
            yield _check_state(folder.name, state, clock)
    if states:
        yield check_capture_disk(root, states)
    yield check_clock_offset(settings.capture, clock, has_captures=bool(folders))


def capture_state(raw: Path, keys: MasterKeys | None) -> CaptureState:
    """Look at the raw log of a capture: names and sizes of its files, statistics, and rows of the open segment.

    Raises:
        OrderBookPlatformError: A segment is damaged, or its key is not at hand.
    """
    from order_book_platform.storage.disk import is_locked
    from order_book_platform.storage.log.log_writer import LOCK
    from order_book_platform.storage.log.segment_columns import column_range
    from order_book_platform.storage.log.segments import first_rows, sealed_path

    rows = first_rows(raw)
    size = sum(path.stat().st_size for path in raw.iterdir() if path.is_file())
    first = column_range(raw, rows[0], "received_time", keys) if rows else None
    last = next(
        (found for row in reversed(rows) if (found := column_range(raw, row, "received_time", keys))), None
    )
    sealed = [row for row in rows if sealed_path(raw, row).exists()]
    until = column_range(raw, sealed[-1], "received_time", keys) if sealed else None
    return CaptureState(
        bytes=size,
        first_ns=first[0] if first else None,
        last_ns=last[1] if last else 0,
        is_recording=is_locked(raw / LOCK),
        sealed_bytes=sum(sealed_path(raw, row).stat().st_size for row in sealed),
        sealed_ns=until[1] if until else None,
    )


def check_capture_disk(root: Path, states: list[CaptureState]) -> Finding:
    """Check that a day fits of every capture that is at work, or of all of them if none is."""
    free = shutil.disk_usage(existing(root)).free
    working = [state for state in states if state.is_recording] or states
    daily = sum(state.bytes_per_day or 0 for state in working)
    found = f"{free / 1e9:,.1f} GB free at {root}"
    if not daily:
        return Finding("capture disk", "ok", f"{found}; too little is captured to tell what a day takes")
    found += f"; a day takes {daily / 1e6:,.1f} MB, as measured: {free / daily:,.1f} days"
    if all(state.sealed_ns is None for state in working):
        found += "; sealed, which they are after an hour, segments take about a tenth"
    if free < daily:
        return Finding(
            "capture disk", "warn", found, "Remove old segments, or set capture_root to a larger disk."
        )
    return Finding("capture disk", "ok", found)


def check_clock_offset(settings: CaptureSettings, clock: Clock, *, has_captures: bool) -> Finding:
    """Measure the offset of the wall clock, if its source answers within some seconds."""
    from order_book_platform.capture.clock_offset_sources import ClockOffset, measure

    answer: queue.SimpleQueue[ClockOffset | str] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answer.put(measure(settings.clock_source, settings.ntp_servers, clock.now_ns)),
        name="clock-offset",
        daemon=True,
    ).start()
    try:
        found = answer.get(timeout=CLOCK_WITHIN_S)
    except queue.Empty:
        found = f"no answer within {CLOCK_WITHIN_S:.0f} s"
    if isinstance(found, ClockOffset):
        text = f"{found.offset_ns / 1e6:+.1f} ± {found.uncertainty_ns / 1e6:.1f} ms by {found.source}"
        if abs(found.offset_ns) > settings.clock_warning:
            return Finding(
                "clock offset", "warn", text, "Let chrony keep the clock: arrivals are dated by it."
            )
        return Finding("clock offset", "ok", text)
    remedy = "Captures are complete without it; for their latencies run chrony, or set capture.ntp_servers."
    return Finding("clock offset", "warn" if has_captures else "ok", f"not known: {found}", remedy)


def _check_keys(keys: MasterKeys | None, *, has_captures: bool) -> Finding:
    if keys is not None:
        return Finding("capture keys", "ok", f"{keys.source}: {len(keys.created)} keys, {keys.active} active")
    remedy = "obp keys new --file FILE, name it as capture.key_file, and begin captures with another --name."
    return Finding("capture keys", "warn" if has_captures else "ok", "captures are not encrypted", remedy)


def _check_state(name: str, state: CaptureState, clock: Clock) -> Finding:
    doing = "being recorded" if state.is_recording else "not being recorded"
    if state.first_ns is None:
        return Finding(f"capture {name}", "ok", f"no rows yet, {doing}")
    age_ns = max(0, clock.now_ns() - state.last_ns)
    found = f"{state.bytes / 1e6:,.1f} MB, {doing}, last row {iso_from_ns(state.last_ns)[:19]}Z, {age_text(age_ns)} old"
    if state.is_recording and age_ns > SILENT_NS:
        return Finding(f"capture {name}", "warn", found, "It hangs, or gets nothing: look at its log.")
    return Finding(f"capture {name}", "ok", found)
