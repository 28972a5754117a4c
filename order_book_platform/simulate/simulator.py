"""`MarketSimulator`, which writes Crypto Lake files of a simulated market and the truth beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from order_book_platform.clock import NS_PER_DAY, NS_PER_MS
from order_book_platform.errors import SettingsError
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.simulate.faults import Faults
from order_book_platform.simulate.inject import inject
from order_book_platform.simulate.lake_files import (
    LAKE_TABLES,
    SCHEMAS,
    LakeWriter,
    staging_folder,
    write_record,
    written_files,
)
from order_book_platform.simulate.market import OPENING_MS, Market
from order_book_platform.simulate.market_tables import chunk_tables, full_book_table, ticker_table
from order_book_platform.simulate.profile import MarketProfile
from order_book_platform.sources import LakeSource

_CLOSING_SHARE = 0.99
"""Share of a day that a simulation may be expected to last, so that chance does not carry it over midnight."""


@dataclass(frozen=True, slots=True)
class SimulationReport:
    """The files that a simulation wrote, and the faults in them.

    Attributes:
        key: symbol and day.
        messages: depth messages of the market (before faults).
        rows: number of rows by table, as written (after faults).
        first_timestamp: exchange time of the first message, ns.
        last_timestamp: exchange time of the last message, ns.
        injected: the faults, as in the record.
        files: path of every file by table; `truth/faults` is the record.
    """

    key: PartitionKey
    messages: int
    rows: dict[str, int]
    first_timestamp: int
    last_timestamp: int
    injected: tuple[dict[str, Any], ...]
    files: dict[str, Path]


class MarketSimulator:
    """Writes simulated Crypto Lake files with their truth; deterministic in every argument but `chunk_rows`.

    Args:
        profile: what the market is like.
        seed: which of the possible markets; 0 or more.
        full_book_every: the full book is written after the first message, after every one in this many, and after the
            last.
        chunk_rows: delta rows held at a time, about; bounds memory and never changes a byte.

    Raises:
        SettingsError: a number is out of range.
    """

    def __init__(
        self, profile: MarketProfile, seed: int, full_book_every: int = 5_000, chunk_rows: int = 262_144
    ) -> None:
        self.profile = profile
        self.seed = _at_least("seed", seed, 0)
        self.full_book_every = _at_least("full_book_every", full_book_every, 1)
        self._chunk_rows = _at_least("chunk_rows", chunk_rows, 1)

    @property
    def messages_per_day(self) -> int:
        """The most messages that may be simulated, which fill a day."""
        day_ms = NS_PER_DAY / NS_PER_MS - OPENING_MS
        return int(day_ms * _CLOSING_SHARE / self.profile.mean_interval_ms)

    def write(
        self,
        root: Path,
        key: PartitionKey,
        messages: int,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        progress: Progress = silent,
    ) -> SimulationReport:
        """Write one symbol and day below `root`; all files appear together at the end.

        Args:
            root: holds `book_delta_v2/`, `book/`, `trades/` and `truth/` afterwards.
            key: symbol and day; each has a market of its own, also on consecutive days.
            messages: how many depth messages the market sends.
            faults: what goes wrong between the market and the files; the truth knows nothing of them.
            progress: told of messages and, with faults, of rows.

        Raises:
            SettingsError: more messages than fit a day, faults that do not fit the messages, or recorded files in
                the way.
            PartitionBusyError: the same symbol and day is being simulated there.
            DiskFullError: there is no room.
        """
        _at_least("messages", messages, 1)
        if messages > self.messages_per_day:
            raise SettingsError(
                expected=f"at most {self.messages_per_day:,} messages, which fill a day of {self.profile.name}",
                found=f"{messages:,}",
                where="messages",
                remedy="Simulate fewer, or several days.",
            )
        with staging_folder(Path(root), key) as folder:
            clean = folder / ("clean" if faults else "done")
            with LakeWriter(clean, key) as writer:
                span = self._play(writer, key, messages, progress)
            rows = writer.rows
            injected: tuple[dict[str, Any], ...] = ()
            if faults:
                (folder / "done").mkdir()
                (clean / "truth").replace(folder / "done" / "truth")
                injected, faulty = inject(
                    LakeSource(clean), folder / "done", key, faults, self.seed, progress
                )
                rows |= faulty
            write_record(
                *(folder / "done", key),
                profile=self.profile.name,
                seed=self.seed,
                messages=messages,
                faults=str(faults),
                injected=list(injected),
            )
        files = written_files(Path(root), key, SCHEMAS)
        return SimulationReport(key, messages, rows, *span, injected, files)

    def _play(
        self, writer: LakeWriter, key: PartitionKey, messages: int, progress: Progress
    ) -> tuple[int, int]:
        """Play the market into the writer.

        Returns:
            Exchange times of the first and the last message, ns.
        """
        market = Market(self.profile, self.seed, key, self._chunk_rows)
        writer.write("truth/book_ticker", ticker_table(market.opening_ticker(), self.profile))
        played, first_ms, last_ms = 0, 0, 0
        while played < messages:
            chunk = market.play(self._next_stop(played, messages) - played)
            for table, rows in chunk_tables(chunk, self.profile).items():
                writer.write(table, rows)
            first_ms = first_ms or int(chunk.messages[market_arrays.MESSAGE_TIME_MS, 0])
            last_ms = int(chunk.messages[market_arrays.MESSAGE_TIME_MS, -1])
            played += chunk.messages.shape[1]
            if played == self._next_stop(played - 1, messages):
                final_id = int(chunk.messages[market_arrays.MESSAGE_FINAL_ID, -1])
                writer.write("truth/full_book", full_book_table(final_id, market.full_book(), self.profile))
            progress("messages", played, messages)
        return first_ms * NS_PER_MS, last_ms * NS_PER_MS

    def _next_stop(self, played: int, messages: int) -> int:
        """Give the next message after `played` messages whose full book is written."""
        if played == 0:
            return 1
        return min(messages, (played // self.full_book_every + 1) * self.full_book_every)


def _at_least(name: str, value: int, least: int) -> int:
    if value < least:
        raise SettingsError(
            expected=f"an integer of {least} or more",
            found=str(value),
            where=name,
            remedy="Correct the value.",
        )
    return value


__all__ = ["LAKE_TABLES", "MarketSimulator", "SimulationReport"]
