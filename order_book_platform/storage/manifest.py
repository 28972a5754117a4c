"""The manifest of a published partition: what it is, what it was made from, and the hash of every file."""

from __future__ import annotations

import fnmatch
import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from order_book_platform.model import FixedPoint
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.model.encoding import Precision, precision_of

MANIFEST = "manifest.json"
"""File name of the manifest; a folder without it is not a partition."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Record that a published partition keeps of itself in `manifest.json`.

    Attributes:
        dataset: name of the dataset.
        schema_version: version of the dataset's schema.
        code_version: version of the code that wrote the partition, see `version.code_version`.
        symbol: `EXCHANGE:SYMBOL`.
        day: `YYYY-MM-DD`.
        inputs: SHA-256 of everything that it was made from, by name.
        rows: row count of each Parquet file, by file name.
        files: `{"bytes", "sha256"}` of each file, by name.
        metadata: what the component keeps: fixed point, counts, settings that shaped the result.
    """

    dataset: str
    schema_version: int
    code_version: str
    symbol: str
    day: str
    inputs: dict[str, str]
    rows: dict[str, int]
    files: dict[str, dict[str, Any]]
    metadata: dict[str, Any]

    @property
    def fixed_point(self) -> FixedPoint:
        """Decimals, tick and lot of the partition's prices and sizes."""
        return FixedPoint.from_metadata(self.metadata)

    def parts(self, name: str | None = None) -> list[str]:
        """Return the files that together hold a table, in order.

        Args:
            name: of a file, or with a star of several; by default the dataset's main table.
        """
        return sorted(fnmatch.filter(self.files, name or DATASETS[self.dataset].table_file))

    @property
    def main_rows(self) -> int | None:
        """Rows of the dataset's main table; None where that is a report."""
        parts = [part for part in self.parts() if part in self.rows]
        return sum(self.rows[part] for part in parts) if parts else None

    @property
    def precision(self) -> Precision:
        """Whether prices and sizes are int64 pips or decimal128."""
        return precision_of(self.metadata)

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Parse the JSON that `to_bytes` gives.

        Raises:
            ValueError: the content is not JSON, or a key is missing, unknown or of another type.
        """
        values = json.loads(content)
        kinds = _kinds()
        if not isinstance(values, dict) or set(values) != set(kinds):
            raise ValueError("not an object with the keys " + ", ".join(kinds))
        for name, kind in kinds.items():
            if not isinstance(values[name], kind):
                raise ValueError(f"{name} is not a {kind.__name__}")
        return cls(**values)

    def to_bytes(self) -> bytes:
        """Return canonical JSON: sorted keys and no time of day, so that equal content gives equal bytes."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON; it covers every file through their own hashes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@cache
def _kinds() -> dict[str, type]:
    """Return the Python type of the JSON value of each key."""
    hints = get_type_hints(Manifest)
    return {field.name: get_origin(hints[field.name]) or hints[field.name] for field in fields(Manifest)}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
