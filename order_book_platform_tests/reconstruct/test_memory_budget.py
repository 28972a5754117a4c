"""Bounds follow from the memory limit, change nothing, and hold; and the spill gives back what was put, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from itertools import cycle, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor, memory_budget
from order_book_platform.reconstruct.memory_budget import LogSpill, MemoryBudget, group_rows, row_bytes
from order_book_platform.replay import replay_steps
from order_book_platform.settings import Settings
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import Manifest
from order_book_platform.streaming import MemoryGuard, MemoryLevel
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.reconstruct.day_runs import KEY, deltas

SIMULATED = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
FAULTS = "drop=16,crossed=1x2s,bad_snapshots=3"
SHARES = (0.0, 0.75, 0.85, 0.95)
"""Of the limit: no level, smaller batches, dropped caches, spilling."""
KINDS = [(name, precision) for name in ("full_event", "snapshot") for precision in ("int64", "decimal128")]


def with_limit(plain: Settings, limit: int, **reconstruct: object) -> Settings:
    """Settings with another limit."""
    streaming = plain.streaming.model_copy(update={"memory_limit": limit})
    wanted = plain.reconstruct.model_copy(update=reconstruct)
    return plain.model_copy(update={"streaming": streaming, "reconstruct": wanted})


def test_bounds_follow_the_limit(tmp_path: Path) -> None:
    """Up to what is useful, down to what is possible; a batch or a table is a quarter of a queue at most."""
    plain = Chain.over(tmp_path, tmp_path / "lake", [SIMULATED]).settings
    found = [
        MemoryBudget.of(with_limit(plain, limit)) for limit in (1, 512_000_000, 10**9, 4 * 10**9, 10**12)
    ]
    sizes = [each.queue.bytes for each in found]
    assert sizes == [1_048_576, 8_000_000, 15_625_000, 33_554_432, 33_554_432]
    for each, deep in zip(found, (1, 100, 20, 50, 3), strict=True):
        assert each.kept.bytes == each.queue.bytes // 4
        assert each.batch_rows * memory_budget.DELTA_BYTES <= each.queue.bytes // 4
        limit = with_limit(plain, each.queue.bytes * memory_budget.LIMIT_SHARE, depth=deep)
        assert 1 <= MemoryBudget.of(limit).table_rows * row_bytes(deep) <= each.queue.bytes // 4
    few = plain.model_copy(update={"sources": plain.sources.model_copy(update={"batch_rows": 7})})
    assert MemoryBudget.of(few).batch_rows == 7


def test_scarce_memory_leaves_batches_worth_their_while(tmp_path: Path) -> None:
    """A share of the usual batch, but not less than what costs more than it saves."""
    plain = Chain.over(tmp_path, tmp_path / "lake", [SIMULATED]).settings
    usual = MemoryBudget.of(plain)
    assert [usual.rows(share) for share in (1.0, 0.5, 0.25, 0.125)] == [131_072, 65_536, 32_768, 16_384]
    few = plain.model_copy(update={"sources": plain.sources.model_copy(update={"batch_rows": 7})})
    assert MemoryBudget.of(few).rows(0.125) == 7


def test_row_groups_have_a_size_in_bytes() -> None:
    """Whatever the depth and the numbers, a power of two of rows."""
    assert [group_rows(depth) for depth in (1, 20, 100)] == [262_144, 32_768, 4_096]
    assert group_rows(20, 16) == 16_384
    for depth in range(1, 101):
        for number_bytes in (8, 16):
            size = group_rows(depth, number_bytes) * row_bytes(depth, number_bytes)
            assert memory_budget.GROUP_BYTES / 2 < size <= memory_budget.GROUP_BYTES


@pytest.fixture(scope="module")
def spilled() -> list[int]:
    """Deltas of each batch that went to a spill."""
    return []


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch, spilled: list[int]) -> None:
    """Several parts in a short day, levels that are looked at all the time, and a note of what is spilled."""
    put = LogSpill.put

    def noted(self: LogSpill, item: DeltaBatch) -> None:
        spilled.append(len(item))
        put(self, item)

    monkeypatch.setattr(LogSpill, "put", noted)
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    monkeypatch.setattr(replay_steps, "PART_SNAPSHOTS", 50)
    monkeypatch.setattr("order_book_platform.streaming.pipeline.WATCH_S", 0.005)


def chain_of(folder: Path, lake: Path, key: PartitionKey, name: str, precision: str) -> Chain:
    """A chain whose books are made with a strategy and of numbers of a kind."""
    chain = Chain.over(folder, lake, [key], reconstruct={"strategy": name})
    instruments = tuple(
        each.model_copy(update={"precision": precision}) for each in chain.settings.instruments
    )
    return Chain(chain.store, chain.settings.model_copy(update={"instruments": instruments}))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Chain, Manifest]]:
    """A chain whose books came of a run that nothing disturbed, and their manifest; made once for each kind."""
    made: dict[tuple[object, ...], tuple[Chain, Manifest]] = {}

    def chain(lake: Path, key: PartitionKey, name: str, precision: str) -> tuple[Chain, Manifest]:
        if (key, name, precision) not in made:
            found = chain_of(tmp_path_factory.mktemp("chain"), lake, key, name, precision)
            found.books(key)
            assert Reconstructor(found.store, found.settings).verify(key).matches
            made[key, name, precision] = found, found.store.manifest("reconstructed_books", key)
        return made[key, name, precision]

    return chain


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a simulated day with faults in it."""
    folder = tmp_path_factory.mktemp("lake")
    MarketSimulator(profile("btc-perp"), 5).write(folder, SIMULATED, 300, Faults.parse(FAULTS))
    return folder


def again(
    chain: Chain, key: PartitionKey, rows: int, queue_bytes: int, shares: tuple[float, ...]
) -> Manifest:
    """The books once more, in batches, queues and memory of another size."""
    with pytest.MonkeyPatch.context() as patch:
        measured = cycle(int(1_000 * share) for share in shares)

        def guard(_: int) -> MemoryGuard:
            memory = MemoryGuard(1_000, sample=lambda: next(measured), drop=lambda: None)
            memory.check(0)
            return memory

        patch.setattr("order_book_platform.reconstruct.day.day_stream.MemoryGuard", guard)
        patch.setattr(memory_budget, "LEAST_QUEUE_BYTES", queue_bytes)
        patch.setattr(memory_budget, "LEAST_BATCH_ROWS", 1)
        sources = chain.settings.sources.model_copy(update={"batch_rows": rows})
        chosen = with_limit(chain.settings, 1).model_copy(update={"sources": sources})
        result = Reconstructor(chain.store, chosen).run(key)
    if shares == SHARES[-1:]:
        assert result.metrics.memory == MemoryLevel.SPILL.name.lower()
    return result.manifest


def same(found: Manifest, wanted: Manifest) -> bool:
    """Every byte of every file, and with it the replay_hash."""
    return found.metadata["replay_hash"] == wanted.metadata["replay_hash"] and found.files == wanted.files


@pytest.mark.parametrize("key", RECORDED_KEYS, ids=str)
def test_spilled_is_streamed_is_replayed_on_recordings(
    recordings: Path,
    undisturbed: Callable[..., tuple[Chain, Manifest]],
    key: PartitionKey,
    spilled: list[int],
) -> None:
    """Memory short from the first to the last batch: most of a recorded day goes through the spill, all bytes stay."""
    chain, wanted = undisturbed(recordings / "lake", key, "full_event", "int64")
    spilled.clear()
    assert same(again(chain, key, 5_000, 10**6, SHARES[-1:]), wanted)
    assert sum(spilled) > 1_000


@pytest.mark.parametrize(("name", "precision"), KINDS)
@pytest.mark.parametrize("source", ["recorded", "simulated"])
def test_no_bound_changes_a_byte(
    recordings: Path,
    faulty: Path,
    undisturbed: Callable[..., tuple[Chain, Manifest]],
    source: str,
    name: str,
    precision: str,
) -> None:
    """Batches, queues, memory that comes and goes; both strategies, pips and decimals; recorded and faulty days."""
    key, lake = (RECORDED_KEYS[-1], recordings / "lake") if source == "recorded" else (SIMULATED, faulty)
    chain, wanted = undisturbed(lake, key, name, precision)
    sizes, queues = ((3_000, 30_000), (10**6,)) if source == "recorded" else ((30, 5_000), (50_000, 10**6))
    levels = st.lists(st.sampled_from(SHARES), min_size=1, max_size=4).map(tuple)

    @settings(
        max_examples=2 if source == "recorded" else 6, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(*sizes), st.sampled_from(queues), levels)
    def holds(rows: int, queue_bytes: int, shares: tuple[float, ...]) -> None:
        assert same(again(chain, key, rows, queue_bytes, shares), wanted)

    holds()


@pytest.mark.parametrize("order", ["in turn", "all in, all out"])
def test_the_spill_gives_back_what_it_got(faulty_lake: Path, tmp_path: Path, order: str) -> None:
    """In order, any number of batches, and nothing is left on the disk."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    whole = deltas(chain)
    batches = [whole.slice(start, start + 500) for start in range(0, 10_000, 500)]
    with closing(LogSpill(tmp_path / "spill")) as spill:
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
    monkeypatch.setattr(memory_budget, "LOG_BYTES", 100_000)
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    whole, most, logs = deltas(chain), 0, set[str]()
    batches = [whole.slice(start, start + 500) for start in range(0, 20_000, 500)]
    with closing(LogSpill(tmp_path / "spill")) as spill:
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
    with closing(LogSpill(tmp_path / "spill")) as spill:
        spill.put(batch)
        monkeypatch.setattr(os, "fsync", synced.append)
    assert synced == []
    assert not (tmp_path / "spill").exists()
