"""The catalogue of assets: each is declared in full, in an order in which everything it reads comes before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from order_book_platform.defs.asset_catalog import ASSETS, AssetDeclaration, book_pictures, gap_pictures
from order_book_platform.model import PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.storage import DataStore
from order_book_platform_tests.defs.conftest import KEY, Run


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


PLAIN = AssetDeclaration("books", lambda store, settings: pytest.fail("called"), "Books.", frozenset(), ())


def test_defaults_are_empty(tmp_path: Path) -> None:
    """An asset without gates, siblings, pictures or metadata of its own needs to say nothing about them."""
    assert not PLAIN.gates
    assert not PLAIN.blocking
    assert not PLAIN.highlights
    assert not PLAIN.siblings
    assert PLAIN.pictures(DataStore(tmp_path), PartitionKey.parse("A:B", "2024-08-08")) == {}
    assert PLAIN.run_metadata(object()) == {}


SVG = "{http://www.w3.org/2000/svg}svg"
Draw = Callable[[DataStore, PartitionKey], Mapping[str, str]]


@pytest.mark.parametrize(
    ("draw", "title"), [(book_pictures, "Depth over time"), (gap_pictures, "Gaps over time")]
)
def test_each_asset_has_one_drawing(run: Run, draw: Draw, title: str) -> None:
    """The drawing is a whole SVG of its own and is the same each time."""
    ((found, svg),) = draw(run.platform.store, KEY).items()
    assert found == title
    assert ElementTree.fromstring(svg).tag == SVG
    assert draw(run.platform.store, KEY) == {title: svg}
