"""Manifests: canonical bytes, a fingerprint that covers everything, and refusal of damage."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from order_book_platform.model import FixedPoint
from order_book_platform.storage import Manifest

MANIFEST = Manifest(
    dataset="raw_deltas",
    schema_version=1,
    code_version="0.1.0",
    symbol="BINANCE:币安-USDT",
    day="2024-08-08",
    inputs={"book_delta_v2/1.parquet": "ab"},
    rows={"deltas.parquet": 7},
    files={"deltas.parquet": {"bytes": 70, "sha256": "cd"}},
    metadata={**FixedPoint(2, 5, 1, 10).to_metadata(), "note": "é"},
)


def test_bytes_read_back() -> None:
    """The same manifest, and the same bytes again."""
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert Manifest.from_bytes(MANIFEST.to_bytes()).to_bytes() == MANIFEST.to_bytes()


def test_bytes_do_not_depend_on_the_order_of_keys() -> None:
    """Counts filled in another order are the same partition."""
    reordered = dataclasses.replace(MANIFEST, metadata=dict(reversed(MANIFEST.metadata.items())))
    assert reordered.fingerprint == MANIFEST.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "BINANCE:ETH-USDT"},
        {"inputs": {"book_delta_v2/1.parquet": "ac"}},
        {"rows": {"deltas.parquet": 8}},
        {"files": {"deltas.parquet": {"bytes": 70, "sha256": "ce"}}},
        {"metadata": {"price_decimals": 3}},
    ],
)
def test_the_fingerprint_covers_it(change: dict[str, Any]) -> None:
    """Whatever changes in a partition changes what the next one says it was made from."""
    assert dataclasses.replace(MANIFEST, **change).fingerprint != MANIFEST.fingerprint


def test_fixed_point() -> None:
    """Decimals, tick and lot come from the metadata."""
    assert MANIFEST.fixed_point == FixedPoint(2, 5, 1, 10)


def damaged(**changes: Any) -> bytes:
    """The manifest with keys replaced, or removed where the value is ..."""
    content = json.loads(MANIFEST.to_bytes()) | changes
    return json.dumps({key: value for key, value in content.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        b"[]",
        b"null",
        b"{}",
        MANIFEST.to_bytes()[:-20],
        damaged(rows=...),
        damaged(extra=1),
        damaged(files=None),
        damaged(inputs=[]),
        damaged(schema_version="1"),
        damaged(day=20240808),
    ],
)
def test_damage_is_refused(content: bytes) -> None:
    """Truncated, of other kinds, incomplete or of another format: never half understood."""
    with pytest.raises(ValueError, match=r"."):
        Manifest.from_bytes(content)
