"""`obp simulate`: files, faults and defaults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from order_book_platform.cli.commands.simulate import profile_of
from order_book_platform_tests.cli.conftest import DAY, run


def simulate(folder: Path, *more: str) -> list[str]:
    """Arguments of a small simulation."""
    symbol = ["--symbol", "SIMULATED:BTC-USD-PERP", "--day", DAY, "--messages", "50"]
    return ["simulate", "--out", str(folder), *symbol, *more]


def test_files_are_where_the_document_says(tmp_path: Path) -> None:
    """Every file named exists, and the rows are those of the tables."""
    result = run([*simulate(tmp_path), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["messages"] == 50
    assert document["profile"] == "coinm"
    assert document["faults"] == "none"
    assert all(Path(path).is_file() for path in document["files"].values())
    assert {"book_delta_v2", "book", "trades"} <= set(document["rows"])


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    """The seed decides everything."""
    for name, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        assert run(simulate(tmp_path / name, "--seed", seed)).exit_code == 0
    file = f"book_delta_v2/exchange=SIMULATED/symbol=BTC-USD-PERP/dt={DAY}/1.snappy.parquet"
    one, two, three = ((tmp_path / name / file).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_faults_are_listed(tmp_path: Path) -> None:
    """Ordered faults are injected and reported."""
    result = run(simulate(tmp_path, "--fault", "drop=2,duplicates=3"))
    assert result.exit_code == 0
    assert "faults injected: " in result.stdout
    assert "drop" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (["--fault", "drops=2"], "drops=2"),
        (["--profile", "btc"], "'btc'"),
        (["--messages", "0"], "0 is not in the range"),
        (["--messages", "999999999"], "999,999,999"),
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, more: list[str], found: str) -> None:
    """Unknown faults and profiles and impossible numbers of messages are usage errors; nothing is written."""
    result = run(simulate(tmp_path / "lake", *more))
    assert result.exit_code == 2
    assert found in result.stderr
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("symbol", "profile"),
    [("A:BTC-USDT", "btc-spot"), ("A:BTC-USDT-PERP", "btc-perp"), ("A:BTC-USD-PERP", "coinm")],
)
def test_profile_by_the_symbol(symbol: str, profile: str) -> None:
    """The symbol's ending says what kind of market it is."""
    assert profile_of(symbol) == profile
