"""Which days of which instruments a capture has recorded to their end, found without decoding a message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns
from order_book_platform.datasets.columns import as_numpy
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.errors import SettingsError
from order_book_platform.model import Instrument
from order_book_platform.sources.binance.capture_ingest import RAW
from order_book_platform.sources.binance.captured_day import WARM_UP_NS
from order_book_platform.sources.binance.market import MARKETS, Market
from order_book_platform.sources.binance.raw_segments import ARRIVAL, CONNECTION_LIFE_NS, rows_of_kinds
from order_book_platform.storage import LogReader
from order_book_platform.storage.log.segment_columns import (
    ColumnRange,
    column_range,
    segment_bytes,
    segment_columns,
)
from order_book_platform.storage.log.segments import first_rows
from order_book_platform.storage.master_keys import MasterKeys


def capture_folders(root: Path) -> list[Path]:
    """List the folders of all captures below the setting `capture_root`; it may be absent."""
    return sorted(folder.parent for folder in root.glob(f"*/{RAW}") if folder.is_dir())


@dataclass(frozen=True, slots=True)
class CaptureProgress:
    """How far a capture has been looked at.

    Attributes:
        next_day: First day that has not been told yet.
        last_ns: Greatest arrival of the newest segment when it was read last, ns since the epoch.
        segment: First row of that segment.
        bytes: Its size then.
    """

    next_day: date
    last_ns: int
    segment: int
    bytes: int

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CaptureProgress:
        """Read what `to_json` returned."""
        return cls(
            date.fromisoformat(values["next_day"]), values["last_ns"], values["segment"], values["bytes"]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values for a JSON object."""
        return {
            "next_day": self.next_day.isoformat(),
            "last_ns": self.last_ns,
            "segment": self.segment,
            "bytes": self.bytes,
        }

    @property
    def end(self) -> date:
        """Day that is not over yet by the arrivals: the log has to go on for a minute behind a midnight."""
        return _day(self.last_ns - WARM_UP_NS)


@dataclass(frozen=True, slots=True)
class FinishedDays:
    """Finds the days of one capture that are over, for the instruments of the settings.

    A day is over when the log goes on for a minute behind its end: the decoder looks so far for what closes a hole at
    midnight.

    Attributes:
        folder: Folder of the capture.
        keys: Master keys of an encrypted log.
    """

    folder: Path
    keys: MasterKeys | None = None

    def since(
        self, progress: CaptureProgress | None, instruments: Sequence[Instrument], now_ns: int
    ) -> tuple[CaptureProgress | None, list[tuple[date, Instrument]]]:
        """Return the days that are over and have not been told yet, ascending, with the new progress.

        Where nothing is new this lists file names. The newest segment is read only when a day may have ended since.

        Args:
            progress: Progress returned last; None at first, and as long as the log has no rows.
            instruments: Instruments of the settings.
            now_ns: Wall clock, ns since the epoch; a day that is not over by it is told later.

        Raises:
            LogCorruptError: A segment is damaged.
            LogKeyError: The log is encrypted and its key is not at hand.
        """
        raw = self.folder / RAW
        rows = first_rows(raw)
        if not rows:
            return progress, []
        newest, size = rows[-1], segment_bytes(raw, rows[-1])
        today = _day(now_ns)
        if progress is None or self._may_have_ended(progress, newest, size, now_ns):
            progress = self._looked_at(progress, rows, size)
        if progress is None:
            return None, []
        end = min(progress.end, today)
        if end <= progress.next_day:
            return progress, []
        begin = progress.next_day
        told = CaptureProgress(end, progress.last_ns, progress.segment, progress.bytes)
        market = self.market()
        if market is None:
            return told, []
        wanted = {name: each for each in instruments if (name := _depth_stream(market, each)) is not None}
        recorded = self._recorded(rows, begin, end)
        return told, [
            (day, wanted[name])
            for day in sorted(recorded)
            for name in sorted(wanted)
            if any(stream == name or stream.startswith(f"{name}@") for stream in recorded[day])
        ]

    def market(self) -> Market | None:
        """Return the market of the log; None for a log that is no capture's."""
        schema = LogReader(self.folder / RAW, self.keys).schema()
        return MARKETS.get((schema.metadata or {}).get(b"market", b"").decode()) if schema else None

    def _may_have_ended(self, progress: CaptureProgress, newest: int, size: int, now_ns: int) -> bool:
        if (newest, size) == (progress.segment, progress.bytes):
            return False
        # Rows are not recorded before they arrive, so their day cannot be over before it is by the clock.
        return now_ns >= day_start_ns(progress.end) + NS_PER_DAY + WARM_UP_NS

    def _looked_at(
        self, progress: CaptureProgress | None, rows: list[int], size: int
    ) -> CaptureProgress | None:
        raw = self.folder / RAW
        newest = column_range(raw, rows[-1], ARRIVAL, self.keys)
        if newest is None:
            newest = column_range(raw, rows[-2], ARRIVAL, self.keys) if len(rows) > 1 else None
        if newest is None:
            return progress
        if progress is None:
            oldest = column_range(raw, rows[0], ARRIVAL, self.keys)
            assert oldest is not None  # a segment before the newest one has rows
            return CaptureProgress(_day(oldest[0]), newest[1], rows[-1], size)
        return CaptureProgress(progress.next_day, max(progress.last_ns, newest[1]), rows[-1], size)

    def _recorded(self, rows: list[int], begin: date, end: date) -> dict[date, set[str]]:
        """Return which streams open connections carried on each day from `begin` to before `end` that has rows."""
        raw = self.folder / RAW
        begin_ns, end_ns = day_start_ns(begin), day_start_ns(end)
        used: list[tuple[int, ColumnRange]] = []
        for row in reversed(rows):
            span = column_range(raw, row, ARRIVAL, self.keys)
            if span is not None and span[1] < begin_ns - CONNECTION_LIFE_NS:
                break
            if span is not None and span[0] < end_ns:
                used.append((row, span))
        recorded: dict[date, set[str]] = {
            day: set() for row, span in used for day in self._days(row, span) if begin <= day < end
        }
        carried: dict[int, set[str]] = {}
        told = begin
        for arrival_ns, connection, kind, detail in (
            own for row, _ in reversed(used) for own in self._own_rows(row)
        ):
            while told < end and arrival_ns >= day_start_ns(told) + NS_PER_DAY:
                recorded.get(told, set()).update(*carried.values())
                told += timedelta(days=1)
            if kind == RowKind.CONNECT:
                carried[connection] = {each.lower() for each in detail.get("streams") or ()}
                continue
            killed = kind == RowKind.GAP and detail.get("why") == "killed"
            for ended in [connection] if kind == RowKind.CLOSE else list(carried) if killed else []:
                streams = carried.pop(ended, set())
                if arrival_ns >= day_start_ns(told):
                    recorded.get(told, set()).update(streams)
        while told < end:
            recorded.get(told, set()).update(*carried.values())
            told += timedelta(days=1)
        return recorded

    def _days(self, row: int, span: ColumnRange) -> Iterator[date]:
        """Give the days on which rows of a segment arrived."""
        first, last = _day(span[0]), _day(span[1])
        yield first
        yield last
        if (last - first).days > 1:  # a recorder that was off for days leaves such a segment
            for _, batch in segment_columns(self.folder / RAW, row, [ARRIVAL], self.keys):
                for number in np.unique(as_numpy(batch, ARRIVAL) // NS_PER_DAY):
                    yield _day(int(number) * NS_PER_DAY)

    def _own_rows(self, row: int) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
        """Give arrival, connection, kind and detail of a segment's rows about connections."""
        kinds = [RowKind.CONNECT, RowKind.CLOSE, RowKind.GAP]
        for _, each in rows_of_kinds(self.folder / RAW, row, kinds, self.keys):
            yield each[ARRIVAL], each["connection"], each["kind"], json.loads(each["detail"] or "{}")


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).date()


def _depth_stream(market: Market, instrument: Instrument) -> str | None:
    """Return the beginning of the depth stream's name; None for an instrument of another market."""
    try:
        return f"{market.symbol(instrument).lower()}@depth"
    except SettingsError:
        return None
