"""The result of a component that publishes a report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from order_book_platform.model import GateResult
from order_book_platform.storage import Manifest


@dataclass(frozen=True, slots=True)
class PublishedReport:
    """A report that was published.

    Attributes:
        manifest: Manifest of the partition.
        report: Content of its report.json.
        gates: Rules that the day was held against.
    """

    manifest: Manifest
    report: dict[str, Any]
    gates: tuple[GateResult, ...]
