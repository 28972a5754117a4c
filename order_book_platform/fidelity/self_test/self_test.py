"""Test of the report itself: known defects put into a sound day, and every figure compared with a slow one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.measurement import measure
from order_book_platform.fidelity.metric_declarations import CHECKS
from order_book_platform.fidelity.self_test.defects import DEFECTS, Defect
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.fidelity.self_test.oracle import slow_figures
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.storage import DataStore

SOUND = "sound"
"""The day without a defect."""
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12
"""Tolerances of a comparison: sums of floats in another order differ by as much; counts and shares do not."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One gate on one day.

    Attributes:
        defect: Name of the defect that the day has, or `SOUND`.
        bar: The bar as text.
        found: The figure of the report; None where nothing could be measured.
        must: `fail` or `hold`; empty where either is right.
        slow: The figure of the slow definition; None where nothing can be measured.
        compared: Whether there is a slow definition.
        injected: The figure that follows from how the defect was put in; None where none does.
    """

    defect: str
    gate: str
    bar: str
    found: float | None
    passed: bool
    must: str = ""
    slow: float | None = None
    compared: bool = False
    injected: float | None = None

    @property
    def problem(self) -> str:
        """Sentence about the unexpected outcome; empty where all is as expected."""
        if self.must and self.passed != (self.must == "hold"):
            return f"must {self.must}, found {self.found} with {self.bar}"
        if self.compared and not _agree(self.found, self.slow):
            return f"found {self.found}, slowly {self.slow}"
        if self.injected is not None and not _agree(self.found, self.injected):
            return f"found {self.found}, by injection {self.injected}"
        return ""


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """Every gate on every day, the unexpected outcomes, and by name of each day the words for what was done to it."""

    cells: tuple[Cell, ...]
    problems: tuple[str, ...]
    words: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.problems

    @property
    def days(self) -> tuple[str, ...]:
        """Names of the days: `SOUND` and the defects, in order."""
        return tuple(dict.fromkeys(cell.defect for cell in self.cells))

    @property
    def gates(self) -> tuple[str, ...]:
        """Names of all gates, in order."""
        return tuple(dict.fromkeys(cell.gate for cell in self.cells))


class SelfTest:
    """Puts known defects into a sound day of a store, which has all tables of `InMemoryDay` and is left as it was."""

    def __init__(self, store: DataStore, key: PartitionKey, defects: Sequence[Defect] = DEFECTS) -> None:
        self._store = store
        self._key = key
        self._defects = defects

    def run(self, made: Sequence[MadeDay] = (), progress: Progress = silent) -> SelfTestResult:
        """Measure the sound day, every defect, and days made with defects that cannot be put into finished books.

        Raises:
            PartitionMissingError: A table of the sound day or of a made one has not been published.
        """
        total = 1 + len(self._defects) + len(made)
        progress("defects", 0, total)
        sound = InMemoryDay.read(self._store, self._key)
        cells = _cells(SOUND, self._measure(self._store), slow_figures(sound), (), {})
        cells = [replace(cell, must="hold") for cell in cells]  # on the sound day every gate must hold
        for done, defect in enumerate(self._defects, start=1):
            progress("defects", done, total)
            damaged = defect.put(sound)
            damaged.publish(self._store, self._key, sound)
            try:
                gates = self._measure(self._store)
            finally:
                sound.publish(self._store, self._key, damaged)
            figures = defect.figures(sound)
            cells += _cells(defect.name, gates, slow_figures(damaged), defect.fails, figures)
        for done, day in enumerate(made, start=1 + len(self._defects)):
            progress("defects", done, total)
            gates = self._measure(day.store)
            slow = slow_figures(InMemoryDay.read(day.store, self._key))
            cells += _cells(day.name, gates, slow, day.fails, day.figures)
        progress("defects", total, total)
        words = {SOUND: "nothing"} | {defect.name: defect.words for defect in self._defects}
        words |= {day.name: day.words for day in made}
        return SelfTestResult(tuple(cells), tuple(_problems(cells)), words)

    def _measure(self, store: DataStore) -> tuple[GateResult, ...]:
        """Return the gates of the day in a store."""
        return measure(DayInputs.open(store, self._key)).gates


@dataclass(frozen=True, slots=True)
class MadeDay:
    """A day that was reconstructed from faulty inputs, held by `store` under the sound day's key.

    The fields are as in `Defect`; the figures follow from the record of the faults.
    """

    name: str
    words: str
    store: DataStore
    fails: tuple[str, ...]
    figures: Mapping[str, float]


def _cells(
    defect: str,
    gates: Sequence[GateResult],
    slow: Mapping[str, float | None],
    fails: Sequence[str],
    figures: Mapping[str, float],
) -> list[Cell]:
    """Return a cell for each gate; gates that were not measured have one that must hold, and so is a problem."""
    names = {gate.name for gate in gates}
    cells = [
        Cell(
            defect,
            gate.name,
            gate.gate,
            gate.value,
            gate.passed,
            "fail" if gate.name in fails else "",
            slow.get(gate.name),
            gate.name in slow,
            figures.get(gate.name),
        )
        for gate in gates
    ]
    absent = [name for name in dict.fromkeys((*CHECKS, *fails, *figures)) if name not in names]
    return cells + [Cell(defect, name, "not measured", None, passed=False, must="hold") for name in absent]


def _problems(cells: Sequence[Cell]) -> list[str]:
    """Return sentences about cells that are not as expected, and about gates that no defect makes fail."""
    found = [f"{cell.defect}: {cell.gate}: {cell.problem}" for cell in cells if cell.problem]
    failing = {cell.gate for cell in cells if cell.defect != SOUND and not cell.passed}
    for gate in dict.fromkeys(cell.gate for cell in cells):
        if gate not in failing:
            found.append(f"{gate}: no defect makes this gate fail")
    return found


def _agree(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return math.isclose(found, expected, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
