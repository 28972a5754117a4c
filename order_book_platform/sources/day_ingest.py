"""Publishes a symbol and day from where it is: from files of the lake, else from a capture."""

from __future__ import annotations

from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.binance.capture_ingest import CaptureIngest, captures_of
from order_book_platform.sources.lake_ingest import IngestResult, LakeIngest
from order_book_platform.sources.lake_source import LakeSource
from order_book_platform.storage import DataStore
from order_book_platform.storage.master_keys import load_master_keys


class DayIngest:
    """Takes a day from `lake_root` where its deltas are there, else from a capture below `capture_root`."""

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> IngestResult:
        """Publish the day as `LakeIngest` or `CaptureIngest` does; a day that neither has is the lake's error."""
        return self._component(key).run(key, progress)

    def require(self, key: PartitionKey) -> None:
        """Refuse with the lake's `SourceMissingError` a day that neither the lake nor a capture has."""
        if isinstance(self._component(key), LakeIngest):
            LakeSource(self._settings.lake_root).require("book_delta_v2", key)

    def _component(self, key: PartitionKey) -> LakeIngest | CaptureIngest:
        is_in_lake = LakeSource(self._settings.lake_root).has("book_delta_v2", key)
        if is_in_lake or not captures_of(
            self._settings.capture_root, key, load_master_keys(self._settings.capture.key_file)
        ):
            return LakeIngest(self._store, self._settings)
        return CaptureIngest(self._store, self._settings)
