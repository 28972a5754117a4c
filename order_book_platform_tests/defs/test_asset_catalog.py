"""The catalogue of assets: each is declared in full, in an order in which everything it reads comes before it."""

from __future__ import annotations

import pytest

from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.defs.asset_declaration import AssetDeclaration
from order_book_platform.model.dataset_catalog import DATASETS


def test_inputs_come_before_what_is_made_of_them() -> None:
    """Each asset reads tables of the lake or assets declared before it; all of them are datasets."""
    known: set[str] = set()
    for asset in ASSETS:
        assert asset.name in DATASETS
        assert {dep for dep in asset.deps if not dep.startswith("lake/")} <= known
        known.add(asset.name)


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.name)
def test_texts_are_sentences(asset: AssetDeclaration) -> None:
    """Descriptions of assets and checks begin with a capital letter and end with a full stop."""
    for text in (asset.description, *asset.gates.values()):
        assert text[0].isupper(), text
        assert text.endswith("."), text
    assert 1 <= len(asset.kinds) <= 3


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.name)
def test_blocking_gates_are_gates(asset: AssetDeclaration) -> None:
    """Only a declared gate can keep a run from going on."""
    assert asset.blocking <= set(asset.gates)
