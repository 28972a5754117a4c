"""Comparison of many fidelity reports: which days of which symbols are bad, and by which gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from order_book_platform.errors import PartitionCorruptError, PartitionMissingError, StorageAccessError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.storage import DataStore

Verdict = Literal["not faithful", "unreadable", "no report", "outdated", "warned", "faithful"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""Verdicts, worst first. `no report`: the books have not been measured; `outdated`: they were made anew since."""
_BOOKS, _REPORT = "reconstructed_books", "fidelity_report"
_READERS = 8


@dataclass(frozen=True, slots=True)
class Failure:
    """A gate that does not hold.

    Attributes:
        gate: Name of the gate.
        value: The figure; None where it could not be measured.
        bar: The required bar, such as `>= 0.999`.
        is_error: Whether the book is not faithful because of it; otherwise it is a warning.
    """

    gate: str
    value: float | None
    bar: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """Verdict on one partition.

    Attributes:
        key: Symbol and day.
        verdict: One of `VERDICTS`.
        failures: Gates that do not hold, errors first, in the order of the report.
        gates: Number of gates of the report.
        said: Reason why the partition has no verdict of its own; empty otherwise.
        report: URL of the report's page; empty without one.
    """

    key: PartitionKey
    verdict: Verdict
    failures: tuple[Failure, ...] = ()
    gates: int = 0
    said: str = ""
    report: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as a dictionary, for JSON."""
        failures = [
            {"gate": each.gate, "value": each.value, "bar": each.bar, "error": each.is_error}
            for each in self.failures
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
    """Return the verdict on every partition that has a report or books.

    Args:
        store: Where reports and books are.
        symbols: Only these symbols; all where it is empty.
        first: Only days from this one on.
        last: Only days up to this one, which is included.
        progress: Told of reports read.

    Returns:
        The partitions by symbol and day.
    """
    found = {*store.partitions(_BOOKS), *store.partitions(_REPORT)}
    keys = [
        key
        for key in found
        if (not symbols or key.instrument.key in symbols)
        and (first is None or first <= key.day)
        and (last is None or key.day <= last)
    ]
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
    if any(each.is_error for each in failures):
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


def _failures(report: dict[str, Any]) -> tuple[tuple[Failure, ...], int]:
    """Return the gates of a report that do not hold, errors first, and the number of its gates.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: The report was written by another version, in another form.
    """
    failed = [gate for gate in report["gates"] if not gate["passed"]]
    failures = tuple(
        Failure(
            str(gate["name"]),
            None if gate["value"] is None else float(gate["value"]),
            str(gate["gate"]),
            gate["severity"] == "error",
        )
        for gate in sorted(failed, key=lambda gate: gate["severity"] != "error")
    )
    for failure in failures:
        _distance(failure)  # a bar that cannot be read is an error here, not in the table
    return failures, len(report["gates"])


@dataclass(frozen=True, slots=True)
class GateCount:
    """How often a gate does not hold.

    Attributes:
        gate: Name of the gate.
        failed: Number of partitions in which it does not hold.
        worst: The measured failure that is farthest from the bar; any failure where none was measured.
        where: Symbol and day of that failure.
    """

    gate: str
    failed: int
    worst: Failure
    where: PartitionKey


def count_gates(compared: Iterable[Compared]) -> list[GateCount]:
    """Return the gates that fail anywhere, those that fail most often first."""
    found: dict[str, list[tuple[Failure, PartitionKey]]] = {}
    for each in compared:
        for failure in each.failures:
            found.setdefault(failure.gate, []).append((failure, each.key))
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
            -sum(failure.is_error for failure in each.failures),
            -len(each.failures),
            each.key.instrument.key,
            each.key.day,
        ),
    )


def _distance(failure: Failure) -> float:
    """Return how far a value is from its bar; -1, the nearest, where it could not be measured."""
    if failure.value is None:
        return -1.0
    return abs(failure.value - float(failure.bar.split()[-1]))
