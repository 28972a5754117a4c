"""The spill gives back what was put, in order, and leaves nothing on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.reconstruct import spill as spill_module
from order_book_platform.reconstruct.spill import spill_in
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.day_runs import KEY, deltas


@pytest.mark.parametrize("order", ["in turn", "all in, all out"])
def test_the_spill_gives_back_what_it_got(faulty_lake: Path, tmp_path: Path, order: str) -> None:
    """In order, any number of batches, and nothing is left on the disk."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    whole = deltas(chain)
    batches = [whole.slice(start, start + 500) for start in range(0, 10_000, 500)]
    with spill_in(tmp_path / "spill") as spill:
        found: list[DeltaBatch] = []
        for batch in batches:
            spill.put(batch)
            if order == "in turn":
                found.append(spill.take())
        take: Callable[[], DeltaBatch] = spill.take
        found += [take() for _ in range(len(batches) - len(found))]
        assert not (tmp_path / "spill").exists()
    for one, other in zip(batches, found, strict=True):
        assert one.to_arrow().equals(other.to_arrow())


def test_a_spill_takes_little_more_than_what_waits(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has gone through it while it was never empty."""
    monkeypatch.setattr(spill_module, "LOG_BYTES", 100_000)
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    whole, most, logs = deltas(chain), 0, set[str]()
    batches = [whole.slice(start, start + 500) for start in range(0, 20_000, 500)]
    with spill_in(tmp_path / "spill") as spill:
        spill.put(batches[0])
        for before, batch in pairwise(batches):
            spill.put(batch)
            assert spill.take().to_arrow().equals(before.to_arrow())
            logs |= {path.name for path in (tmp_path / "spill").iterdir()}
            most = max(
                most,
                sum(path.stat().st_size for path in (tmp_path / "spill").rglob("*") if path.is_file()),
            )
        spill.take()
        assert not (tmp_path / "spill").exists()
    assert len(logs) > 5
    assert most < 3 * 100_000


def test_a_spill_that_is_given_up_is_not_synced(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody wants is only removed."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    batch = deltas(chain).slice(0, 500)
    synced: list[int] = []
    with spill_in(tmp_path / "spill") as spill:
        spill.put(batch)
        monkeypatch.setattr(os, "fsync", synced.append)
    assert synced == []
    assert not (tmp_path / "spill").exists()
