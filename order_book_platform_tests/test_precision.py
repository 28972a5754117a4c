"""A day of decimals through all that reads books: fidelity, features, `scan`, the assessment, the command line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from order_book_platform.cli import main
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.scan import in_drawn_pips, scan
from order_book_platform.errors import PrecisionError
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.model import PartitionKey
from order_book_platform.model.pip_encoding import in_precision
from order_book_platform.plots.depth_chart import depth_chart
from order_book_platform.rl import FeatureBuilder
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.conftest import RECORDED_KEYS
from order_book_platform_tests.lake import KEY, book_frame, delta_frame, trade_frame, write_lake
from order_book_platform_tests.reconstruct.test_decimals import DECIMAL128, PRICES, SIZES, wild_day

SIMULATED = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chain, Chain]:
    """A simulated day through all assets, in pips and in decimals."""
    folder = tmp_path_factory.mktemp("precision")
    MarketSimulator(profile("btc-perp"), 3).write(folder / "lake", SIMULATED, 900)
    chains = [
        Chain.over(folder / name, folder / "lake", [SIMULATED], instrument=instrument)
        for name, instrument in (("pips", {"precision": "int64"}), ("decimals", DECIMAL128))
    ]
    for chain in chains:
        chain.all(SIMULATED)
    return chains[0], chains[1]


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A day that int64 pips cannot hold, up to its books."""
    folder = tmp_path_factory.mktemp("wild")
    wild_day(folder / "lake", PRICES["all digits a float has"])
    chain = Chain.over(folder, folder / "lake", [KEY], reconstruct={"strategy": "full_event"})
    chain.books(KEY)
    return chain


def same_metrics(pips: Chain, decimals: Chain, key: PartitionKey) -> None:
    """Every metric, gate and placebo, to the last bit; and the windows and levels of the report."""
    assert pips.store.table("fidelity_report", key).equals(decimals.store.table("fidelity_report", key))
    reports = [chain.store.report("fidelity_report", key) for chain in (pips, decimals)]
    for report in reports:
        del report["provenance"]
        # The hash is of the rows as they are held.
        report["metrics"] = [metric for metric in report["metrics"] if metric["name"] != "replay_hash"]
    assert reports[0] == reports[1]


def test_fidelity_is_the_same(simulated: tuple[Chain, Chain]) -> None:
    """Against held-out snapshots of a simulated day."""
    same_metrics(*simulated, SIMULATED)


def test_fidelity_of_a_recording_is_the_same(recordings: Path, tmp_path: Path) -> None:
    """Against held-out snapshots of a recorded day."""
    key = RECORDED_KEYS[0]
    chains = []
    for name, instrument in (("pips", {"precision": "int64"}), ("decimals", DECIMAL128)):
        chain = Chain.over(tmp_path / name, recordings / "lake", [key], instrument=instrument)
        chain.books(key)
        FidelityReporter(chain.store, chain.settings).run(key)
        chains.append(chain)
    same_metrics(chains[0], chains[1], key)


def test_features_are_the_same(simulated: tuple[Chain, Chain]) -> None:
    """Integers are the same multiples of their own pips, floats the same up to rounding."""
    one, other = (pl.DataFrame(chain.store.table("rl_features", SIMULATED)) for chain in simulated)
    points = [chain.store.manifest("rl_features", SIMULATED).fixed_point for chain in simulated]
    assert (points[1].price_decimals, points[1].size_decimals) == (1, 3)
    assert [point.tick for point in points] == [points[0].tick] * 2
    assert one.columns == other.columns
    for name in one.columns:
        if name == "mid2" or name.startswith(("ofi", "mlofi")):
            price = name == "mid2"
            places = [point.price_decimals if price else point.size_decimals for point in points]
            assert one[name].equals((other[name] * 10 ** (places[0] - places[1])).alias(name)), name
        elif one[name].dtype.is_float():
            np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy(), rtol=1e-5, err_msg=name)
        else:
            assert one[name].equals(other[name]), name


def test_a_wild_day_has_fidelity_but_no_integer_features(wild: Chain) -> None:
    """Its books agree with its own snapshots in every level; features say why they cannot be, and what to do."""
    report = FidelityReporter(wild.store, wild.settings).run(KEY)
    metrics = {metric.name: metric for metric in report.metrics}
    assert metrics["topk_exact"].value == metrics["bbo_exact_seq"].value == 1.0
    assert metrics["topk_exact"].n > 20
    with pytest.raises(PrecisionError, match=r"precision decimal128\. Leave rl_features") as caught:
        FeatureBuilder(wild.store, wild.settings).run(KEY)
    assert str(KEY) in str(caught.value)
    assert not wild.store.exists("rl_features", KEY)


@pytest.mark.parametrize("precision", ["int64", "decimal128"])
def test_features_of_sizes_that_only_snapshots_have(tmp_path: Path, precision: str) -> None:
    """A book seeded from sizes finer than those of all deltas and trades has features, as one of pips has."""
    book = book_frame().with_columns(pl.col("bid_3_size") + 0.0005)
    write_lake(tmp_path / "lake", KEY, delta_frame(), book, trade_frame())
    chain = Chain.over(tmp_path, tmp_path / "lake", [KEY], instrument={"precision": precision})
    chain.books(KEY)
    assert FeatureBuilder(chain.store, chain.settings).run(KEY).manifest.main_rows
    point = chain.store.manifest("rl_features", KEY).fixed_point
    assert (point.price_decimals, point.size_decimals) == ((8, 8) if precision == "int64" else (1, 4))


def test_scan(wild: Chain) -> None:
    """Decimals as stored, floats as the files had them; pips are refused."""
    read = {
        prices: scan("raw_deltas", KEY.instrument.key, KEY.day, prices=prices, config=wild.settings).collect()
        for prices in ("decimal", "float")
    }
    assert read["decimal"].columns == in_precision(RAW_DELTAS_SCHEMA, "decimal128").names
    assert read["decimal"]["price"].dtype == pl.Decimal(38, 18)
    assert set(read["float"]["size"].to_list()) == {0.0, *SIZES}
    assert set(read["float"]["price"].to_list()) <= set(PRICES["all digits a float has"].tolist())
    assert [Decimal(repr(value)) for value in read["float"]["price"]] == read["decimal"]["price"].to_list()
    snapshots = scan("snapshots", KEY.instrument.key, KEY.day, prices="float", config=wild.settings).collect()
    assert snapshots.schema["bid_size"] == pl.List(pl.Float64)
    assert set(snapshots["bid_size"].explode().to_list()) <= set(SIZES)
    with pytest.raises(PrecisionError, match=r"prices='decimal'"):
        scan("raw_deltas", KEY.instrument.key, KEY.day, config=wild.settings)


def test_scan_of_days_in_both_precisions(simulated: tuple[Chain, Chain], tmp_path: Path) -> None:
    """Days one after the other, whatever each is kept as."""
    pips, decimals = simulated
    settings = pips.settings.model_copy(update={"data_root": tmp_path})
    other = PartitionKey.parse(SIMULATED.instrument.key, "2024-08-09")
    for chain, key in ((pips, SIMULATED), (decimals, other)):
        source = chain.store.folder("trades", SIMULATED)
        target = tmp_path / "trades" / key.path
        target.mkdir(parents=True)
        for file in source.iterdir():
            content = file.read_bytes()
            if file.name == "manifest.json":
                content = content.replace(b'"2024-08-08"', f'"{key.day}"'.encode())
            (target / file.name).write_bytes(content)
    for prices in ("decimal", "float"):
        days = scan("trades", SIMULATED.instrument.key, prices=prices, config=settings).collect()
        one, two = (days.filter(pl.col("day") == key.day).drop("day") for key in (SIMULATED, other))
        assert len(one)
        assert one.equals(two)


def test_assessment_says_which_and_why(wild: Chain, simulated: tuple[Chain, Chain]) -> None:
    """Chosen, wanted, why, and how many values needed it; a day of decimals is expected to take longer."""
    audit = wild.store.report("data_assessment", KEY)["precision"]
    assert (audit["wanted"], audit["chosen"]) == ("auto", "decimal128")
    assert audit["sizes"] == len(SIZES) + 1
    assert audit["prices_beyond_pips"] > 0
    assert "1.parquet: column" in audit["first_beyond_pips"]
    text = wild.store.path("data_assessment", KEY, "report.md").read_text()
    assert "- Precision: decimal128 (wanted: auto): as int64 pips: expected " in text
    reports = [chain.store.report("data_assessment", SIMULATED) for chain in simulated]
    assert reports[0]["precision"]["chosen"] == reports[0]["precision"]["wanted"] == "int64"
    assert reports[1]["precision"]["prices_beyond_pips"] == reports[1]["precision"]["sizes_beyond_pips"] == 0
    assert reports[0]["estimate"]["peak_bytes"] < reports[1]["estimate"]["peak_bytes"]
    for name in ("tick", "lot"):
        assert Decimal(reports[0]["precision"][name]) == Decimal(reports[1]["precision"][name])


def test_a_picture_of_decimals(wild: Chain, simulated: tuple[Chain, Chain]) -> None:
    """As many digits as a picture can show: the same picture where pips hold them, and one where they do not."""
    shown = []
    for chain, key in ((simulated[0], SIMULATED), (simulated[1], SIMULATED), (wild, KEY)):
        point = chain.store.manifest("reconstructed_books", key).fixed_point
        shown.append(
            depth_chart(*in_drawn_pips(chain.store.frame("reconstructed_books", key), point)).inline()
        )
    assert shown[0] == shown[1]
    assert all(picture.count("<image") == 6 for picture in shown)


@pytest.mark.parametrize("precision", ["int64", "decimal128"])
def test_the_command_line_rounds_nothing(tmp_path: Path, precision: str) -> None:
    """A size of a snapshot that is finer than the lot, which deltas show, is shown in full; others as before."""
    book = book_frame().with_columns(pl.col("bid_0_size") + 0.005)
    write_lake(tmp_path / "lake", KEY, delta_frame(), book, trade_frame())
    instrument = {"precision": precision}
    chain = Chain.over(
        tmp_path, tmp_path / "lake", [KEY], instrument=instrument, reconstruct={"strategy": "full_event"}
    )
    chain.books(KEY)
    config = str(tmp_path / "settings.toml")
    arguments = ["--config", config, "book", "--symbol", KEY.instrument.key, "--day", str(KEY.day)]
    done = CliRunner().invoke(main, [*arguments, "--sequence", "1000", "--json"])
    assert done.exit_code == 0, done.output
    bids = pl.Series([done.stdout]).str.json_decode(infer_schema_length=None)[0]["bids"]
    assert [(row["price"], row["size"]) for row in bids[:2]] == [("99.5", "1.255"), ("99.0", "1.25")]


def test_the_book_on_the_command_line(wild: Chain) -> None:
    """Every digit of a price of 18 decimals and of a size of 10^19."""
    last = wild.store.frame("reconstructed_books", KEY).collect().tail(1).row(0, named=True)
    config = wild.settings.data_root.parent / "settings.toml"
    arguments = ["--config", str(config), "book", "--symbol", KEY.instrument.key, "--day", str(KEY.day)]
    done = CliRunner().invoke(main, [*arguments, "--sequence", str(last["sequence_number"]), "--json"])
    assert done.exit_code == 0, done.output
    shown = pl.Series([done.stdout]).str.json_decode(infer_schema_length=None)[0]
    for side in ("bid", "ask"):
        for level, row in enumerate(shown[f"{side}s"]):
            assert Decimal(row["price"]) == last[f"{side}_{level}_price"]
            assert Decimal(row["size"]) == last[f"{side}_{level}_size"]
    verified = CliRunner().invoke(main, [*arguments[:2], "verify", *arguments[3:]])
    assert verified.exit_code == 0, verified.output
