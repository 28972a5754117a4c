"""Does the order flow explain the price as it was measured to? On the USD-M recording, wrong rules beside."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.rl import FeatureBuilder
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore
from order_book_platform_tests.rl.naive import Pair, order_flow
from order_book_platform_tests.rl.recorded import publish

SECOND = 1_000_000_000
TENTH = SECOND // 10
BAND = (0.35, 0.47)
"""0.40–0.42 as measured, ± 0.05."""


def adverse_move(before: Pair, after: Pair) -> int:
    """The common mistake: on an adverse move subtract the new size, where the old one left."""
    bid0, bid_size0, ask0, ask_size0 = before
    bid1, bid_size1, ask1, ask_size1 = after
    bid = bid_size1 if bid1 > bid0 else bid_size1 - bid_size0 if bid1 == bid0 else -bid_size1
    ask = ask_size1 if ask1 < ask0 else ask_size1 - ask_size0 if ask1 == ask0 else -ask_size1
    return bid - ask


def plain_difference(before: Pair, after: Pair) -> int:
    """The other one: the change of the sizes, whatever the prices did."""
    return (after[1] - before[1]) - (after[3] - before[3])


RULES: dict[str, Callable[[Pair, Pair], int]] = {
    "order_flow": order_flow,
    "adverse_move": adverse_move,
    "plain_difference": plain_difference,
}


def r_squared(flow: list[float], change: list[float]) -> float:
    """Share of the variance of `change` that a line through `flow` explains."""
    return float(np.corrcoef(flow, change)[0, 1] ** 2)


def windowed(times: list[int], pairs: list[Pair], rule: Callable[[Pair, Pair], int], phase: int) -> float:
    """R² of mid changes on order flow in windows (s, s + 1 s] that begin `phase` ns after whole seconds."""
    flow: dict[int, float] = {}
    mid: dict[int, int] = {}
    for i, (time, pair) in enumerate(zip(times, pairs, strict=True)):
        window = -(-(time - phase) // SECOND)
        mid[window] = pair[0] + pair[2]
        if i:
            flow[window] = flow.get(window, 0) + rule(pairs[i - 1], pair)
    closing = [mid[min(mid)]]
    whole = range(min(mid) + 1, max(mid))
    for window in whole:
        closing.append(mid.get(window, closing[-1]))
    return r_squared([flow.get(window, 0) for window in whole], np.diff(closing).tolist())


@pytest.fixture(scope="module")
def best(usdm_books: pa.Table) -> list[Pair]:
    """Best bid, its size, best ask, its size after each message."""
    columns = [f"{side}_0_{field}_pips" for side in ("bid", "ask") for field in ("price", "size")]
    return list(zip(*(usdm_books.column(name).to_pylist() for name in columns), strict=True))


@pytest.fixture(scope="module")
def features(
    recordings: Path, usdm_key: PartitionKey, usdm_books: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> pl.DataFrame:
    """The published features of the recording."""
    store = DataStore(tmp_path_factory.mktemp("features"))
    publish(recordings, usdm_key, store, usdm_books)
    settings = Settings(
        lake_root=recordings / "lake",
        data_root=store.root,
        first_day="2024-08-08",
        instruments=[{"symbol": usdm_key.instrument.key}],
    )
    FeatureBuilder(store, settings).run(usdm_key)
    return store.frame("rl_features", usdm_key).collect()


def test_rules_differ_as_measured_by_arrival(usdm_books: pa.Table, best: list[Pair]) -> None:
    """In whole seconds of arrival the three rules give the measured figures, so the band tells them apart."""
    arrival = usdm_books.column("received_time").to_pylist()
    found = {name: windowed(arrival, best, rule, 0) for name, rule in RULES.items()}
    assert found == pytest.approx(
        {"order_flow": 0.422, "adverse_move": 0.030, "plain_difference": 0.017}, abs=5e-4
    )
    assert BAND[0] <= found["order_flow"] <= BAND[1]
    assert found["adverse_move"] < BAND[0]
    assert found["plain_difference"] < BAND[0]


def test_published_order_flow_explains_the_price(features: pl.DataFrame) -> None:
    """R² of 1 s mid changes on `ofi_1` lies in the band, averaged over the ten phases of whole seconds.

    One phase alone has 344 windows, of which a single one moves R² by 0.1: the phases lie between 0.38 and 0.54.
    """
    found = [_published(features, phase, features["ofi_1"]) for phase in range(10)]
    assert BAND[0] <= np.mean(found) <= BAND[1]
    assert min(found) > 0.3


@pytest.mark.parametrize("name", ["adverse_move", "plain_difference"])
def test_wrong_rules_would_be_caught(
    features: pl.DataFrame, usdm_books: pa.Table, best: list[Pair], name: str
) -> None:
    """The same measurement on columns made by the wrong rules falls far below the band."""
    times = usdm_books.column("origin_time").to_pylist()
    running = np.cumsum([0, *(RULES[name](a, b) for a, b in pairwise(best))])
    steps = features["time"].to_numpy()
    now, then = (np.searchsorted(times, steps - back, side="right") - 1 for back in (0, SECOND))
    wrong = pl.select(
        pl.when(features["ofi_1"].is_not_null()).then(pl.Series(running[now] - running[then]))
    ).to_series()
    found = [_published(features, phase, wrong) for phase in range(10)]
    assert np.mean(found) < 0.1
    assert max(found) < BAND[0]


def test_published_flow_is_the_rule(features: pl.DataFrame, usdm_books: pa.Table, best: list[Pair]) -> None:
    """`ofi_1` equals the plain sum of the rule over the second before, to the last pip; only the start is null."""
    times = usdm_books.column("origin_time").to_numpy()
    flows = [0, *(order_flow(a, b) for a, b in pairwise(best))]
    checked = 0
    for time, ofi in features.select("time", "ofi_1").iter_rows():
        if ofi is not None:
            first, stop = np.searchsorted(times, [time - SECOND, time], side="right")
            assert ofi == sum(flows[first:stop])
            checked += 1
    assert checked == features.height - 10


def _published(features: pl.DataFrame, phase: int, flow: pl.Series) -> float:
    """R² over the rows `phase` tenths after whole seconds; windows without order flow are left out."""
    rows = features.with_columns(flow.alias("flow")).filter(pl.col("time") % SECOND == phase * TENTH)
    rows = rows.with_columns(change=pl.col("mid2").diff()).drop_nulls(["flow", "change"])
    return r_squared(rows["flow"].to_list(), rows["change"].to_list())
