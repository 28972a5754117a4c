"""The registry of datasets agrees with itself, with the package's rooms and with Dagster's assets."""

from __future__ import annotations

from pathlib import Path

import order_book_platform
from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.model.dataset_catalog import DATASETS


def test_names_are_keys() -> None:
    """A dataset is found under its own name, and its version counts from 1."""
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.schema_version >= 1


def test_every_dataset_is_made_by_an_asset() -> None:
    """The asset of each dataset exists and is a dataset itself; every asset publishes the dataset of its name."""
    assets = {asset.name for asset in ASSETS}
    assert {dataset.asset for dataset in DATASETS.values()} == assets
    assert assets <= set(DATASETS)


def test_every_component_is_a_room() -> None:
    """The code that writes a dataset is a folder of the package."""
    package = Path(order_book_platform.__file__).parent
    for dataset in DATASETS.values():
        assert (package / dataset.component / "__init__.py").is_file()
