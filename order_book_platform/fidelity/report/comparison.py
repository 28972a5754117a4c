"""Many reports side by side: how each day stands, which gate fails where, and a page with a calendar of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

from order_book_platform.errors import PartitionCorruptError, PartitionMissingError, StorageAccessError
from order_book_platform.fidelity.metrics.metric import failed_gates
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.plots.pages import CalendarDay, VerdictStyle, calendar_chart, render_page
from order_book_platform.storage import DataStore

Verdict = Literal["not faithful", "unreadable", "no report", "outdated", "warned", "faithful"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Verdicts, worst first. `no report`: the books have not been measured; `outdated`: they were made anew since."""
_BOOKS, _REPORT = "reconstructed_books", "fidelity_report"
_READERS = 8


@dataclass(frozen=True, slots=True)
class Compared:
    """Verdict on one partition.

    Attributes:
        failures: Gates that do not hold, errors first, in the order of the report, which has `gates` many in all.
        said: Reason why the partition has no verdict of its own; empty otherwise.
        report: URL of the report's page; empty without one.
    """

    key: PartitionKey
    verdict: Verdict
    failures: tuple[GateResult, ...] = ()
    gates: int = 0
    said: str = ""
    report: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as a dictionary, for JSON."""
        failures = [
            {
                "gate": gate.name,
                "value": gate.value,
                "bar": gate.gate,
                "error": gate.severity == Severity.ERROR,
            }
            for gate in self.failures
        ]
        return {
            "symbol": self.key.instrument.key,
            "day": self.key.day.isoformat(),
            "verdict": self.verdict,
            "gates": self.gates,
            "failures": failures,
            "said": self.said,
            "report": self.report,
        }


def compare_reports(
    store: DataStore,
    symbols: Sequence[str] = (),
    first: date | None = None,
    last: date | None = None,
    progress: Progress = silent,
) -> list[Compared]:
    """Return the verdict on every partition that has a report or books, by symbol and day.

    Only those of the symbols, all where there are none, and of the days from `first` to `last`, both included.
    """
    found = {*store.partitions(_BOOKS), *store.partitions(_REPORT)}
    first, last = first or date.min, last or date.max
    keys = [key for key in found if not symbols or key.instrument.key in symbols]
    keys = [key for key in keys if first <= key.day <= last]
    keys.sort(key=lambda key: (key.instrument.key, key.day))
    with ThreadPoolExecutor(_READERS) as readers:  # they wait for the disk, or for a file system on a network
        compared = []
        for each in readers.map(lambda key: _compared(store, key), keys):
            compared.append(each)
            progress("reports", len(compared), len(keys))
    return compared


def _compared(store: DataStore, key: PartitionKey) -> Compared:
    try:
        manifest = store.manifest(_REPORT, key)
        report = store.report(_REPORT, key)
        books = store.exists(_BOOKS, key) and store.manifest(_BOOKS, key).fingerprint
        failures, gates = _failures(report)
    except PartitionMissingError:
        return Compared(key, "no report", said="its books have not been measured")
    except (PartitionCorruptError, StorageAccessError) as error:
        return Compared(key, "unreadable", said=f"{error.found}, in {error.where}")
    except (LookupError, TypeError, AttributeError, ValueError):
        said = "its gates are not those that this version writes: make it anew with obp fidelity report"
        return Compared(key, "unreadable", said=said)
    outdated = bool(books) and manifest.inputs.get(_BOOKS) != books
    verdict: Verdict = "faithful"
    if failed_gates(failures, Severity.ERROR):
        verdict = "not faithful"
    elif outdated:
        verdict = "outdated"
    elif failures:
        verdict = "warned"
    return Compared(
        key,
        verdict,
        failures,
        gates,
        "its report is of books that have been made anew since" if outdated else "",
        store.path(_REPORT, key, "report.html").absolute().as_uri(),
    )


def _failures(report: dict[str, Any]) -> tuple[tuple[GateResult, ...], int]:
    """Return the gates of a report that do not hold, errors first, and the number of its gates.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: The report was written by another version, in another form.
    """
    failed = [GateResult(**gate) for gate in report["gates"] if not gate["passed"]]
    for gate in failed:
        _distance(gate)  # a bar that cannot be read is an error here, not in the table
    return tuple(sorted(failed, key=lambda gate: gate.severity != Severity.ERROR)), len(report["gates"])


class GateCount(NamedTuple):
    """Number of partitions in which a gate does not hold, and the worst of these failures.

    Attributes:
        worst: The measured failure that is farthest from the bar; any failure where none was measured.
        where: Symbol and day of that failure.
    """

    gate: str
    failed: int
    worst: GateResult
    where: PartitionKey


def count_gates(compared: Iterable[Compared]) -> list[GateCount]:
    """Return the gates that fail anywhere, those that fail most often first."""
    found: dict[str, list[tuple[GateResult, PartitionKey]]] = {}
    for each in compared:
        for failure in each.failures:
            found.setdefault(failure.name, []).append((failure, each.key))
    counts = []
    for gate, failures in found.items():
        worst, where = max(failures, key=lambda pair: _distance(pair[0]))
        counts.append(GateCount(gate, len(failures), worst, where))
    return sorted(counts, key=lambda count: (-count.failed, count.gate))


def worst_first(compared: Iterable[Compared]) -> list[Compared]:
    """Sort by verdict, then by the number of errors and of warnings, then by symbol and day."""
    return sorted(
        compared,
        key=lambda each: (
            VERDICTS.index(each.verdict),
            -len(failed_gates(each.failures, Severity.ERROR)),
            -len(each.failures),
            each.key.instrument.key,
            each.key.day,
        ),
    )


def _distance(failure: GateResult) -> float:
    """Return how far a value is from its bar; -1, the nearest, where it could not be measured."""
    if failure.value is None:
        return -1.0
    return abs(failure.value - float(failure.gate.split()[-1]))


LISTED = 300
"""Most days that the page lists with their failures; the calendar shows all days, and `--json` has everything."""
_NAMED_GATES = 4
"""Most failed gates of a day that the pointer names in the calendar."""
_NO_BOOKS = "no books"
_STYLES = (
    VerdictStyle("not faithful", "bad", mark="✕"),
    VerdictStyle("unreadable", "ask", mark="!"),
    VerdictStyle("no report", "muted", "outlined", mark="?"),
    VerdictStyle("outdated", "muted", "outlined", mark="↻"),
    VerdictStyle("warned", "doubt", mark="△"),
    VerdictStyle("faithful", "bid"),
    VerdictStyle(_NO_BOOKS, "muted", "hatched"),
)


def render_comparison(compared: Sequence[Compared]) -> str:
    """Render the page of what `compare_reports` returns; it refers to nothing outside itself but the reports."""
    days = list(_calendar_days(compared)) if compared else []
    span = f", {min(day.day for day in days)} to {max(day.day for day in days)}" if days else ""
    present = {day.verdict for day in days} | {_NO_BOOKS}
    styles = [style for style in _STYLES if style.name in present]
    symbols = [
        (symbol, Counter(each.verdict for each in partitions))
        for symbol, partitions in groupby(compared, key=lambda each: each.key.instrument.key)
    ]
    verdict_class, verdict = _verdict(compared)
    worst = [each for each in worst_first(compared) if each.verdict != "faithful"]
    return render_page(
        "order_book_platform.fidelity.report",
        "comparison_page.html.j2",
        title=f"Fidelity of {len(symbols)} symbols{span}",
        verdict=verdict,
        verdict_class=verdict_class,
        verdicts=VERDICTS,
        symbols=symbols,
        calendar=calendar_chart(days, styles).inline() if compared else None,
        gates=count_gates(compared),
        worst=worst[:LISTED],
        more=len(worst[LISTED:]),
    )


def _verdict(compared: Sequence[Compared]) -> tuple[str, str]:
    """Return CSS class and text of the verdict on all days."""
    counts = Counter(each.verdict for each in compared)
    bad = counts["not faithful"] + counts["unreadable"]
    unmeasured = counts["no report"] + counts["outdated"]
    if not compared:
        return "warn", "Nothing to compare."
    if bad:
        return "fail", f"{bad:,} of {len(compared):,} days are not faithful or cannot be read."
    warned = f"; {counts['warned']:,} of them with warnings" if counts["warned"] else ""
    if unmeasured:
        return "warn", f"{unmeasured:,} of {len(compared):,} days have not been measured{warned}."
    return "pass", f"All {len(compared):,} days are faithful{warned}."


def _calendar_days(compared: Sequence[Compared]) -> Iterator[CalendarDay]:
    """Return every day from the first to the last one, of each symbol; it leads to its report."""
    first, last = min(each.key.day for each in compared), max(each.key.day for each in compared)
    for symbol, partitions in groupby(compared, key=lambda each: each.key.instrument.key):
        of_day = {each.key.day: each for each in partitions}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            each = of_day.get(day)
            if each is None:
                yield CalendarDay(symbol, day, _NO_BOOKS)
                continue
            gates = [failure.name for failure in each.failures]
            failed = ", ".join(gates[:_NAMED_GATES]) + (" …" if len(gates) > _NAMED_GATES else "")
            yield CalendarDay(symbol, day, each.verdict, note=failed or each.said, link=each.report)
