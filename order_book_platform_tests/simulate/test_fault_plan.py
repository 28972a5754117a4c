"""Placing faults: in the middle half, apart from each other, and where they were when others are added."""

from __future__ import annotations

import pytest

from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.simulate.fault_plan import BAD_SNAPSHOTS, damaged_row, plan_faults
from order_book_platform.simulate.lake_files import LakeIndex, read_index
from order_book_platform.sources import LakeSource
from order_book_platform_tests.simulate.small import KEY


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LakeIndex:
    """The index of 1,200 messages on USD-M."""
    root = tmp_path_factory.mktemp("plan")
    MarketSimulator(profile(), 8).write(root, KEY, 1_200)
    return read_index(LakeSource(root), KEY)


@pytest.mark.parametrize("seed", range(5))
def test_faults_stay_apart_in_the_middle_half(index: LakeIndex, seed: int) -> None:
    """No message has two faults, and all lie between a quarter and three quarters of the messages."""
    faults = Faults.parse("drop=16,silence=2x1s,crossed=3x1s,ghost=8,duplicates=20,unsorted=60")
    numbers = index.sequence.tolist()
    used: list[int] = []
    for entry in plan_faults(index, KEY, faults, seed).record:
        first, last = (numbers.index(entry[f"{end}_sequence_number"]) for end in ("first", "last"))
        assert last - first + 1 == entry["messages"]
        used += range(first, last + 1)
    assert len(used) == len(set(used))
    assert min(used) >= 300
    assert max(used) < 900


def test_one_more_kind_moves_no_other(index: LakeIndex) -> None:
    """A drop stays where it is when silences and ghosts are asked for as well."""
    alone = plan_faults(index, KEY, Faults(drop=16), 1).record
    among = plan_faults(index, KEY, Faults(drop=16, silence=1, ghost=3, bad_snapshots=2), 1).record
    assert alone == [entry for entry in among if entry["kind"] == "drop"]


@pytest.mark.parametrize("kind", BAD_SNAPSHOTS)
def test_damaged_rows_are_copies(kind: str) -> None:
    """Spoiling changes a copy, not the row itself."""
    names = [f"{side}_{n}_{what}" for side in ("bid", "ask") for n in range(20) for what in ("price", "size")]
    row = {name: float(place) for place, name in enumerate(names)}
    before = dict(row)
    assert damaged_row(row, kind) != row
    assert row == before
