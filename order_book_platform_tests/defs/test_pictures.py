"""Drawings of a materialization: made from the published partition, each an SVG that stands alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import pytest

from order_book_platform.defs.pictures import book_pictures, gap_pictures
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.defs.conftest import KEY, Run

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
