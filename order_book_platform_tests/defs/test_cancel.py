"""A run of Dagster's that is terminated, as the button in the web UI does it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.launched import code_location, has_ended
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.replay import replay_steps
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.storage import find_unfinished_work
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.lake import write_settings

MODULE = "order_book_platform_tests.defs.slow_definitions"
PART_DELTAS = 4_000
"""As there; importing it here would slow this process down, too."""
KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
SETTINGS = {"reconstruct": {"checkpoint_events": 1}, "sources": {"batch_rows": 200}}
BOUND_S = 120
"""A bound, not an expectation."""


def wait_for(found: Callable[[], bool], what: str) -> None:
    """Another process is at work, so there is nothing to await."""
    deadline = time.monotonic() + BOUND_S
    while not found():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def files(folder: Path) -> dict[str, str]:
    """Every file and its hash."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_terminated_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as CANCELED and leaves what it did; the next run goes on from there and makes the same files."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", PART_DELTAS)
    MarketSimulator(profile("btc-perp"), 5).write(tmp_path / "lake", KEY, 700, Faults.parse(""))
    chain = Chain.over(tmp_path, tmp_path / "lake", [KEY], **SETTINGS)
    chain.books(KEY)
    folder = chain.store.folder("reconstructed_books", KEY)
    wanted = files(folder)
    checkpoints = chain.store.checkpoints("reconstructed_books", KEY)
    config = write_settings(tmp_path, lake_root=str(tmp_path / "lake"), keys=[KEY], **SETTINGS)
    monkeypatch.setenv("OBP_CONFIG", str(config))
    with code_location(tmp_path / "home", MODULE) as location:
        run_id = location.launch(KEY, ["reconstructed_books"])
        wait_for(checkpoints.exist, "a checkpoint")
        process = location.process(run_id)
        assert process is not None
        location.terminate(run_id)
        wait_for(lambda: location.is_finished(run_id), "the end of the run")
        wait_for(lambda: has_ended(process), "the end of its process")
        run = location.instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.CANCELED
    assert files(folder) == wanted
    (left,) = find_unfinished_work(chain.store.root)
    assert (left.kind, left.checkpoints > 0) == ("building", True)
    again = Reconstructor(chain.store, chain.settings).run(KEY)
    assert again.run.resumed_from >= PART_DELTAS
    assert files(folder) == wanted
    assert not list(find_unfinished_work(chain.store.root))
