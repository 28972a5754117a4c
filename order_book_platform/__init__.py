"""Order Book Platform: exact level-2 order books from deltas, with proof of how exact they are.

In: Crypto Lake files. Out: published datasets; `scan` reads them, the component classes make them, `obp` and
Dagster run those. Importing this package is light: every name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from order_book_platform.version import __version__

if TYPE_CHECKING:
    from order_book_platform.assess import DataAssessor, GapReporter
    from order_book_platform.datasets.scan import scan
    from order_book_platform.errors import OrderBookPlatformError
    from order_book_platform.fidelity import FidelityReporter
    from order_book_platform.model import BookFlag, FixedPoint, Instrument, PartitionKey
    from order_book_platform.reconstruct import Reconstructor
    from order_book_platform.rl import FeatureBuilder
    from order_book_platform.settings import Settings, load_settings
    from order_book_platform.simulate import MarketSimulator
    from order_book_platform.sources import LakeIngest
    from order_book_platform.storage import DataStore, Manifest

_HOMES = {
    "BookFlag": "model",
    "DataAssessor": "assess",
    "DataStore": "storage",
    "FeatureBuilder": "rl",
    "FidelityReporter": "fidelity",
    "FixedPoint": "model",
    "GapReporter": "assess",
    "Instrument": "model",
    "LakeIngest": "sources",
    "Manifest": "storage",
    "MarketSimulator": "simulate",
    "OrderBookPlatformError": "errors",
    "PartitionKey": "model",
    "Reconstructor": "reconstruct",
    "Settings": "settings",
    "load_settings": "settings",
    "scan": "datasets.scan",
}

__all__ = [
    "BookFlag",
    "DataAssessor",
    "DataStore",
    "FeatureBuilder",
    "FidelityReporter",
    "FixedPoint",
    "GapReporter",
    "Instrument",
    "LakeIngest",
    "Manifest",
    "MarketSimulator",
    "OrderBookPlatformError",
    "PartitionKey",
    "Reconstructor",
    "Settings",
    "__version__",
    "load_settings",
    "scan",
]


def __getattr__(name: str) -> object:
    """Load a public name from the room it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
