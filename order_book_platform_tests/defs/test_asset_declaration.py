"""Declarations: what is left out means nothing to check, to show or to publish beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.defs.asset_declaration import AssetDeclaration
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore

PLAIN = AssetDeclaration("books", lambda store, settings: pytest.fail("called"), "Books.", frozenset(), ())


def test_defaults_are_empty(tmp_path: Path) -> None:
    """An asset without gates, siblings, pictures or metadata of its own needs to say nothing about them."""
    assert not PLAIN.gates
    assert not PLAIN.blocking
    assert not PLAIN.highlights
    assert not PLAIN.siblings
    assert PLAIN.pictures(DataStore(tmp_path), PartitionKey.parse("A:B", "2024-08-08")) == {}
    assert PLAIN.run_metadata(object()) == {}
