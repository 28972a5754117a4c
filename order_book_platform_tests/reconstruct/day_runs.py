"""Reconstructions of a short day with faults, and what they published."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.model import PartitionKey
from order_book_platform.observability import silent
from order_book_platform.reconstruct import Reconstruction, Reconstructor
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
FAULTS = "drop=16,crossed=2x3s,bad_snapshots=4,silence=1x7s"


def files(chain: Chain) -> dict[str, str]:
    """Every published file of the books, and its hash; nothing stands beside the partition."""
    folder = chain.store.folder("reconstructed_books", KEY)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def deltas(chain: Chain) -> DeltaBatch:
    """All of the day."""
    return DeltaBatch.concat(list(PublishedDeltas(chain.store, KEY).batches(100_000, silent, "read")))


def again(chain: Chain, **sections: dict[str, Any]) -> tuple[Reconstruction, dict[str, str]]:
    """The books of the same inputs with other settings."""
    changed = {
        name: getattr(chain.settings, name).model_copy(update=values) for name, values in sections.items()
    }
    result = Reconstructor(chain.store, chain.settings.model_copy(update=changed)).run(KEY)
    return result, files(chain)


def chain_with(folder: Path, lake: Path, precision: str, sections: dict[str, Any]) -> Chain:
    """A chain whose instrument is read with that precision."""
    chain = Chain.over(folder, lake, [KEY], **sections)
    instruments = tuple(
        each.model_copy(update={"precision": precision}) for each in chain.settings.instruments
    )
    return Chain(chain.store, chain.settings.model_copy(update={"instruments": instruments}))


def flip(path: Path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
