"""The grammar of faults: what is accepted, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import SettingsError
from order_book_platform.simulate import Faults
from order_book_platform.simulate.faults import GRAMMAR

COUNTS = st.integers(0, 10**6)
TIMES = st.integers(1, 10**13)
PLACES = st.one_of(st.none(), st.integers(0, 10**6))


def test_the_documented_example() -> None:
    """The example of the documentation is read as it says."""
    spec = "drop=16,ghost=5,silence=1,crossed=2,bad_snapshots=3,duplicates=10,clock_skew=-1.27s,unsorted=100"
    assert Faults.parse(spec) == Faults(
        drop=16,
        ghost=5,
        silence=1,
        crossed=2,
        bad_snapshots=3,
        duplicates=10,
        clock_skew_ns=-1_270_000_000,
        unsorted=100,
    )


def test_placed_and_timed_faults() -> None:
    """Counts, times and places are read in that order; blanks do not matter."""
    assert Faults.parse(" drop=16@1200 , silence=1x500ms@7, crossed = 1x2s@9") == Faults(
        drop=16,
        drop_at=1200,
        silence=1,
        silence_ns=500_000_000,
        silence_at=7,
        crossed=1,
        crossed_ns=2_000_000_000,
        crossed_at=9,
    )
    assert Faults.parse("clock_skew=+2s").clock_skew_ns == 2_000_000_000


@pytest.mark.parametrize("spec", ["", "none", "  "])
def test_nothing_goes_wrong(spec: str) -> None:
    """An empty text or `none` is no fault, and says so."""
    assert Faults.parse(spec) == Faults()
    assert not Faults.parse(spec)
    assert str(Faults()) == "none"


@given(
    st.builds(
        Faults,
        drop=COUNTS,
        ghost=COUNTS,
        silence=COUNTS,
        silence_ns=TIMES,
        crossed=COUNTS,
        crossed_ns=TIMES,
        bad_snapshots=COUNTS,
        duplicates=COUNTS,
        unsorted=COUNTS,
        clock_skew_ns=st.integers(-(10**12), 10**12),
    ),
    PLACES,
)
def test_text_round_trip(faults: Faults, place: int | None) -> None:
    """The text of faults is read back as the same text and, for faults that are asked for, the same values."""
    again = Faults.parse(str(faults))
    assert str(again) == str(faults)
    assert bool(again) == bool(faults)
    for name in (
        "drop",
        "ghost",
        "silence",
        "crossed",
        "bad_snapshots",
        "duplicates",
        "unsorted",
        "clock_skew_ns",
    ):
        assert getattr(again, name) == getattr(faults, name)
    placed = Faults(drop=3, drop_at=place, silence=1, silence_at=place)
    assert Faults.parse(str(placed)) == placed


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("drop", "a fault of the list below"),
        ("dorp=3", "a fault of the list below"),
        ("drop=16;ghost=5", r"drop=COUNT\[@MESSAGE\]"),
        ("drop=0", "drop=COUNT with a whole number of 1 or more"),
        ("drop=-1", r"drop=COUNT\[@MESSAGE\]"),
        ("drop=1.5", r"drop=COUNT\[@MESSAGE\]"),
        ("drop=16x3s", r"drop=COUNT\[@MESSAGE\]"),
        ("drop=1,drop=2", "drop once"),
        ("silence=1x3", "a time such as 100ms"),
        ("silence=1x0s", "silence_ns of 1 or more"),
        ("silence=2x3s@5", "@MESSAGE with COUNT 1"),
        ("crossed=two", r"crossed=COUNT\[xTIME\]\[@MESSAGE\]"),
        ("ghost=1@4", "ghost=COUNT with a whole number of 1 or more"),
        ("clock_skew=1", "a time such as 100ms"),
        ("clock_skew=0s", "a time that is not 0"),
        ("clock_skew=1s,clock_skew=2s", "clock_skew once"),
        ("drop=1,", "a fault of the list below"),
    ],
)
def test_wrong_specs_are_refused(spec: str, expected: str) -> None:
    """A wrong part is quoted, what was expected is said, and the grammar is shown."""
    with pytest.raises(SettingsError, match=f"faults: expected .*{expected}") as refused:
        Faults.parse(spec)
    assert GRAMMAR in str(refused.value)


def test_the_document_shows_the_grammar() -> None:
    """docs/simulator.md quotes the grammar that errors show, word for word."""
    assert GRAMMAR in (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
