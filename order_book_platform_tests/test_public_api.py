"""What `import order_book_platform` gives: light, complete, and the path from files to books by hand."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import order_book_platform as obp
from order_book_platform.version import __version__

COMPONENTS = (
    "LakeIngest",
    "GapReporter",
    "DataAssessor",
    "Reconstructor",
    "FidelityReporter",
    "FeatureBuilder",
)


def test_every_public_name_is_there() -> None:
    """Each exported name exists, is listed by dir(), and is what its room calls it."""
    assert obp.__version__ == __version__
    for name in obp.__all__:
        found = getattr(obp, name)
        assert name in dir(obp)
        if name != "__version__":
            assert found.__name__ == name


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing a room binds its name to the module, which would hide a function of the same name."""
    rooms = {path.stem for path in Path(obp.__file__).parent.iterdir()}
    assert not rooms & set(obp.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    """A typing mistake is answered as Python answers it."""
    with pytest.raises(AttributeError, match="module 'order_book_platform' has no attribute 'scann'"):
        obp.scann  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    """The imports for type checkers and the table of homes name the same things in the same places."""
    module = ast.parse(Path(obp.__file__).read_text(encoding="utf-8"))
    (block,) = [
        each for each in module.body if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"
    ]
    checked = [
        (each.module, name.name, name.asname)
        for each in block.body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    ]
    loaded = [
        (f"order_book_platform.{home}", name, name) for home, names in obp._HOMES.items() for name in names
    ]
    assert sorted(checked) == sorted(loaded)
    assert sorted(obp.__all__) == sorted(["__version__", *(name for _, name, _ in loaded)])


def test_scan_loads_neither_dagster_nor_compiled_loops() -> None:
    """Reading a published table needs neither the orchestrator nor numba, the terminal or the drawing libraries."""
    heavy = ("dagster", "numba", "jinja2", "click", "rich")
    script = (
        f"from order_book_platform import scan; import sys; print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "[]\n"


def test_import_is_light() -> None:
    """Importing the package loads none of the libraries that its parts stand on."""
    heavy = ("dagster", "numba", "polars", "pyarrow", "numpy", "jinja2", "pydantic", "click", "rich")
    script = f"import order_book_platform, sys; print(sorted(set({heavy!r}) & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "[]\n"


def test_components_by_hand(tmp_path: Path) -> None:
    """From simulated files to features with the component classes alone, read back with scan."""
    key = obp.PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
    from order_book_platform.simulate.market_profile import profile

    obp.MarketSimulator(profile("btc-perp"), seed=3).write(tmp_path / "lake", key, 400)
    settings = obp.Settings(
        lake_root=tmp_path / "lake",
        data_root=tmp_path / "store",
        first_day=date(2024, 8, 8),
        instruments=({"symbol": key.instrument.key},),
    )
    store = obp.DataStore(settings.data_root)
    for name in COMPONENTS:
        result = getattr(obp, name)(store, settings).run(key)
        assert result.manifest.fingerprint == store.check(result.manifest.dataset, key).fingerprint

    books = obp.scan("reconstructed_books", key.instrument.key, key.day, prices="float", config=settings)
    best = (
        books.filter(pl.col("flags") & obp.BookFlag.SEEDED.value > 0)
        .select("bid_0_price", "ask_0_price")
        .collect()
    )
    assert best.height > 0
    assert (best["bid_0_price"] < best["ask_0_price"]).all()
    features = obp.scan("rl_features", key.instrument.key, config=settings).collect()
    assert features["day"].unique().to_list() == [date(2024, 8, 8)]
