"""`obp verify`: equal hashes, and a difference that is seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform

ARGUMENTS = ("verify", "--symbol", SYMBOL, "--day", DAY)


@pytest.mark.parametrize("more", [[], ["--batch-rows", "1000"], ["--batch-rows", "77"]])
def test_any_batch_size_gives_the_same_hash(materialized: tuple[Platform, Any], more: list[str]) -> None:
    """A second replay gives the published hash, whatever the batch size."""
    platform, document = materialized
    result = platform.obp(*ARGUMENTS, *more, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["matches"] is True
    assert found["published"] == found["replayed"] == found["stored"]
    assert found["rows"] == document["assets"][3]["rows"]


def copied(platform: Platform, folder: Path) -> Platform:
    """The same platform with a store of its own."""
    shutil.copytree(platform.store, folder / "store")
    config = folder / "platform.toml"
    config.write_text(platform.config.read_text())
    return Platform(config)


def test_another_hash_exits_1(materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path) -> None:
    """A published hash that the replay does not give is called different, with exit 1."""
    platform = copied(materialized[0], tmp_path)
    manifest = DataStore(platform.store).folder("reconstructed_books", key) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["metadata"]["replay_hash"] = "0" * 64
    manifest.write_text(json.dumps(content))
    result = platform.obp(*ARGUMENTS)
    assert result.exit_code == 1
    assert "DIFFERENT" in result.stdout


def test_changed_input_is_seen(materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path) -> None:
    """Other settings of the reconstruction give another book, which does not pass for the published one."""
    platform = copied(materialized[0], tmp_path)
    platform.config.write_text(platform.config.read_text().replace("extend_every = 4", "extend_every = 7"))
    result = platform.obp(*ARGUMENTS, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["published"] == found["stored"] != found["replayed"]


def test_new_inputs_are_named(materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path) -> None:
    """Books whose inputs were published anew are out of date, even if the replay gives the same rows."""
    platform = copied(materialized[0], tmp_path)
    manifest = DataStore(platform.store).folder("snapshots", key) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["code_version"] = "0.0.0"
    manifest.write_text(json.dumps(content))
    result = platform.obp(*ARGUMENTS)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-2:] == ["equal", "Published anew since the books were made: snapshots"]


def test_damaged_file_exits_1(materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path) -> None:
    """A file that differs from its manifest is named."""
    platform = copied(materialized[0], tmp_path)
    file = DataStore(platform.store).folder("reconstructed_books", key) / "books-00000.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    result = platform.obp(*ARGUMENTS)
    assert result.exit_code == 1
    assert f"where     {file}" in result.stderr


def test_table_shows_three_hashes(materialized: tuple[Platform, Any]) -> None:
    """Published, replayed and stored hash stand under each other, with the verdict."""
    output = materialized[0].obp(*ARGUMENTS).stdout
    hashes = [line.split()[1] for line in output.splitlines() if len(line.split()[-1:][0]) == 64]
    assert len(hashes) == 3
    assert len(set(hashes)) == 1
    assert output.rstrip().endswith("equal")
