"""A stream at work as a table on a terminal: how fast each stage is, what waits before it, and what it waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from order_book_platform.clock import NS_PER_SECOND

if TYPE_CHECKING:
    from order_book_platform.observability import StageMetrics, StreamMetrics

WINDOW_NS = 5 * NS_PER_SECOND
"""Rates and shares are of the last five seconds: a stage may spend one second on an item."""
WIDE = 100
"""Columns of a terminal from which on headings are written out."""
FULL = 80
"""Columns from which on every column is shown; below only those that tell which stage is the slow one."""
LEAST = 48
"""Columns below which nothing is shown: the line of the asset says how far it is."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stage between two moments.

    Attributes:
        before: Figures of the stage at the first moment.
        now: Figures of the stage at the second moment.
        passed_ns: Time between them.
    """

    before: StageMetrics
    now: StageMetrics
    passed_ns: int

    @property
    def rows_per_second(self) -> str:
        """Rows processed per second; a dash where no time has passed."""
        if not self.passed_ns:
            return "-"
        return in_units((self.now.rows - self.before.rows) * NS_PER_SECOND / self.passed_ns).strip()

    def share(self, stopwatch: str) -> str:
        """Say in percent how much of the time a stopwatch of the stage ran, such as `busy_ns`."""
        if not self.passed_ns:
            return "-"
        ran_ns = getattr(self.now, stopwatch) - getattr(self.before, stopwatch)
        # Stopwatches are read one after another, a little later than the clock: the share may come out above 100.
        return f"{min(100.0, 100 * ran_ns / self.passed_ns):.0f} %"

    @property
    def waiting(self) -> str:
        """Items that wait before the stage and their bytes, in memory and on disk; a dash where none wait."""
        if not self.now.queue_items:
            return "-"
        return f"{self.now.queue_items}, {in_units(self.now.queue_bytes + self.now.spilled_bytes)}B"

    @property
    def oldest(self) -> str:
        """Age of the item that has waited longest; a dash where none wait."""
        if not self.now.queue_items:
            return "-"
        milliseconds = self.now.oldest_ns / 1e6
        return f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1e3:.1f} s"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table.

    Attributes:
        heading: Heading on a wide terminal.
        short: Heading on others.
        cell: Gives the text for a stage.
        always: Whether the column stays when there is little room.
    """

    heading: str
    short: str
    cell: Callable[[Span], str]
    always: bool = False


COLUMNS = (
    Column("rows", "rows", lambda span: f"{span.now.rows:,}"),
    Column("rows/s", "rows/s", lambda span: span.rows_per_second, always=True),
    Column("bytes", "bytes", lambda span: f"{in_units(span.now.bytes)}B"),
    Column("waiting", "waiting", lambda span: span.waiting),
    Column("oldest", "oldest", lambda span: span.oldest),
    Column("busy", "busy", lambda span: span.share("busy_ns"), always=True),
    Column("blocked up", "blk up", lambda span: span.share("blocked_up_ns"), always=True),
    Column("blocked down", "blk down", lambda span: span.share("blocked_down_ns"), always=True),
)


class StreamTable:
    """A rich renderable that shows the newest figures of a stream."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, StreamMetrics]] = deque()
        self._resident_bytes = 0

    def update(self, figures: StreamMetrics, resident_bytes: int, now_ns: int) -> None:
        """Take the newest figures.

        Args:
            figures: Figures of the stream; a stream that began again counts from its own start.
            resident_bytes: Resident memory of the process.
            now_ns: Time of a monotonic clock.
        """
        self._resident_bytes = resident_bytes
        seen = self._seen
        if seen and _work_done(figures) < _work_done(seen[-1][1]):
            seen.clear()
        seen.append((now_ns, figures))
        while len(seen) > 2 and now_ns - seen[1][0] >= WINDOW_NS:
            seen.popleft()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the table and a line about the whole stream; nothing where there is no room for them."""
        if not self._seen or options.max_width < LEAST:
            return
        wide = options.max_width >= WIDE
        columns = [each for each in COLUMNS if each.always or options.max_width >= FULL]
        drawn = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="dim", style="dim")
        drawn.add_column("  stage", no_wrap=True)
        for column in columns:
            drawn.add_column(column.heading if wide else column.short, justify="right", no_wrap=True)
        for span in self._spans():
            drawn.add_row(f"  {span.now.stage}", *(column.cell(span) for column in columns))
        yield drawn
        yield Text(self._summary(), style="dim", no_wrap=True, overflow="ellipsis")

    def _summary(self) -> str:
        """The line about the whole stream: backpressure and memory."""
        _, last = self._seen[-1]
        spilled = sum(stage.spilled_bytes for stage in last.stages)
        return (
            f"  backpressure: {last.pressure}, memory: {last.memory.replace('_', ' ')}, "
            f"{in_units(self._resident_bytes)}B resident"
            + (f", {in_units(spilled)}B spilled" if spilled else "")
        )

    def _spans(self) -> Sequence[Span]:
        """Each stage between the oldest figures of the window and the newest."""
        (since_ns, before), (now_ns, now) = self._seen[0], self._seen[-1]
        return [
            Span(one, other, now_ns - since_ns) for one, other in zip(before.stages, now.stages, strict=True)
        ]


def in_units(value: float) -> str:
    """Write three significant digits and a decimal prefix, such as `12.3 M`; without a prefix a space ends the text."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        scaled = value / factor
        # A number that would be rounded up to 1,000 takes the next prefix.
        if scaled >= 0.9995:
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {prefix}"
    return f"{value:.0f} "


def _work_done(figures: StreamMetrics) -> int:
    """A number that grows as long as it is the same stream, and falls when the stream begins again."""
    return sum(stage.rows + stage.busy_ns for stage in figures.stages)
