"""Order Book Platform: exact level-2 order books from deltas, with proof of how exact they are.

In: Crypto Lake files. Out: published datasets. `scan` reads them, the component classes make them, and `obp` and
Dagster run those classes; `Book` and `replay_in_memory` apply batches of deltas and snapshots without any
store. Importing this package is light: each name below is loaded from the room it lives in when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from order_book_platform.version import __version__

if TYPE_CHECKING:  # what type checkers and editors read; test_public_api.py holds it to the table below
    from order_book_platform.assess import DataAssessor as DataAssessor
    from order_book_platform.assess import GapReporter as GapReporter
    from order_book_platform.datasets.raw_deltas import DeltaBatch as DeltaBatch
    from order_book_platform.datasets.scan import scan as scan
    from order_book_platform.datasets.snapshots import SnapshotBatch as SnapshotBatch
    from order_book_platform.errors import OrderBookPlatformError as OrderBookPlatformError
    from order_book_platform.fidelity import FidelityReporter as FidelityReporter
    from order_book_platform.model import BookFlag as BookFlag
    from order_book_platform.model import FixedPoint as FixedPoint
    from order_book_platform.model import Instrument as Instrument
    from order_book_platform.model import PartitionKey as PartitionKey
    from order_book_platform.reconstruct import Reconstructor as Reconstructor
    from order_book_platform.replay.book import Book as Book
    from order_book_platform.replay.in_memory import InMemoryReplay as InMemoryReplay
    from order_book_platform.replay.in_memory import replay_in_memory as replay_in_memory
    from order_book_platform.rl import FeatureBuilder as FeatureBuilder
    from order_book_platform.settings import Settings as Settings
    from order_book_platform.settings import load_settings as load_settings
    from order_book_platform.simulate import MarketSimulator as MarketSimulator
    from order_book_platform.sources import LakeIngest as LakeIngest
    from order_book_platform.storage import DataStore as DataStore
    from order_book_platform.storage import Manifest as Manifest

_HOMES = {
    "assess": ("DataAssessor", "GapReporter"),
    "datasets.raw_deltas": ("DeltaBatch",),
    "datasets.scan": ("scan",),
    "datasets.snapshots": ("SnapshotBatch",),
    "errors": ("OrderBookPlatformError",),
    "fidelity": ("FidelityReporter",),
    "model": ("BookFlag", "FixedPoint", "Instrument", "PartitionKey"),
    "reconstruct": ("Reconstructor",),
    "replay.book": ("Book",),
    "replay.in_memory": ("InMemoryReplay", "replay_in_memory"),
    "rl": ("FeatureBuilder",),
    "settings": ("Settings", "load_settings"),
    "simulate": ("MarketSimulator",),
    "sources": ("LakeIngest",),
    "storage": ("DataStore", "Manifest"),
}
"""Room, or module of a room, to the public names that are loaded from it. No public name may be that of a room: Python
binds `order_book_platform.replay` to the module as soon as anything imports it."""
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - the names are text, which ruff cannot see


if not TYPE_CHECKING:  # a type checker that saw it would take every misspelt name for a public one

    def __getattr__(name: str) -> object:
        """Load a public name from the room it lives in (PEP 562)."""
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
