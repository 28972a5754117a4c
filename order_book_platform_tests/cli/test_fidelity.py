"""`obp fidelity`: the verdict of a published book, and a golden sample that is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform

ARGUMENTS = ("fidelity", "--symbol", SYMBOL, "--day", DAY)


def copied(platform: Platform, folder: Path) -> Platform:
    """The same platform with a store of its own."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(platform.store, folder / "store")
    config = folder / "platform.toml"
    config.write_text(platform.config.read_text())
    return Platform(config)


def from_other_deltas(store: Path, key: PartitionKey) -> None:
    """Make the books say that they were made from other deltas."""
    manifest = DataStore(store).folder("reconstructed_books", key) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["inputs"]["raw_deltas"] = "0" * 64
    manifest.write_text(json.dumps(content))


def test_the_report_is_measured_and_published(materialized: tuple[Platform, Any], tmp_path: Path) -> None:
    """The same gates as the asset's, as a table and as JSON; exit 0 where the book is faithful."""
    platform = copied(materialized[0], tmp_path)
    result = platform.obp(*ARGUMENTS)
    assert "bbo_exact_seq" in result.stdout
    assert "report.html" in result.stdout.replace("\n", "")
    found = platform.json(*ARGUMENTS)
    assert result.exit_code == (0 if found["passed"] else 1)
    assert {"bbo_exact_seq", "depth_l1"} <= {gate["name"] for gate in found["gates"]}


def test_a_golden_sample_is_a_further_reference(
    materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path
) -> None:
    """Books of another recording are compared by number and stand among the inputs."""
    platform, golden = (copied(materialized[0], tmp_path / name) for name in ("own", "golden"))
    from_other_deltas(golden.store, key)
    found = platform.json(*ARGUMENTS, "--golden", str(golden.store))
    assert next(gate for gate in found["gates"] if gate["name"] == "bbo_exact_seq_golden")["value"] == 1.0
    assert "golden/reconstructed_books" in found["provenance"]


def test_a_copy_is_no_golden_sample(materialized: tuple[Platform, Any], tmp_path: Path) -> None:
    """Books made from the same deltas are refused in one line, without a traceback."""
    platform, golden = (copied(materialized[0], tmp_path / name) for name in ("own", "golden"))
    result = platform.obp(*ARGUMENTS, "--golden", str(golden.store))
    assert result.exit_code != 0
    assert "very same raw_deltas" in result.stderr.replace("\n", " ")
