"""Profiles of markets: quantile tables and probabilities, measured on recordings and kept as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from order_book_platform.errors import SettingsError
from order_book_platform.kernels.simulation import market_arrays

KNOTS = market_arrays.KNOTS
"""Entries of a quantile table: equal steps of probability, of 1/128, from the smallest to the largest value."""

Table = tuple[int, ...]
_FOLDER = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Changes in one range of distances from the best price of a side, in the order of `market_arrays`' buckets.

    Probabilities are in 1/65536; `size_lots` are sizes that changes set, `KNOTS` quantiles.

    Attributes:
        upper_ticks: end of the range, which begins at the end of the previous bucket's.
        density: probability that a tick is occupied in the first book.
        absent: probability that a change removes a level that was not there.
        same: probability that a change repeats the size that was there.
        delete: probability that a change that meets a level removes it; otherwise it gets another size.
        reach_ticks: how far a change looks for a level to meet before it adds one, which sets the density that lasts.
    """

    upper_ticks: int
    density: int
    absent: int
    same: int
    delete: int
    reach_ticks: int
    size_lots: Table


@dataclass(frozen=True, slots=True)
class MarketProfile:
    """Everything that a simulated market is made from. Tables are `KNOTS` quantiles; probabilities are in 1/65536.

    Attributes:
        price_decimals: a tick is `10**-price_decimals`, a lot `10**-size_decimals`.
        start_ticks: best ask at the start.
        best_first: whether the rows of a message go from the best price outwards on both sides, as on spot; otherwise
            they go by ascending price.
        transaction_times: whether messages carry T and `pu`, as on futures.
        transaction_lag_ms: E − T of a depth message, ms.
        id_step: mean number of update ids an event takes (ids are shared with other symbols on futures).
        same_ms: share of consecutive best bid/ask changes within one millisecond.
        tickers_per_message: mean changes of the best bid/ask (price or size) per message.
        trades_per_ticker: trades per change of the best bid/ask.
        moves_per_message: share of messages after which the mid price is another one.
        inside_absent: share of rows that remove an absent level better than the best price.
        rank_keep: probability that the next message is about as busy as this one.
        rank_return: probability that otherwise it is about as busy as the spell it belongs to.
        distance_ticks: distance of a change from its side's best price, where it is at least 1 tick.
        inside_ticks: distance by which removals of absent levels lie beyond the best price, ticks.
        jump_ticks: move of the mid price over a message, where there is one, ticks.
        queue_change_lots: change of a best level's size while its price stays, lots.
        latency_ns: arrival − E, above its lower envelope, ns.
    """

    name: str
    price_decimals: int
    size_decimals: int
    start_ticks: int
    best_first: bool
    transaction_times: bool
    transaction_lag_ms: int
    id_step: int
    same_ms: int
    tickers_per_message: int
    trades_per_ticker: int
    moves_per_message: int
    inside_absent: int
    rank_keep: int
    rank_return: int
    interval_ms: Table
    rows: Table
    distance_ticks: Table
    inside_ticks: Table
    jump_ticks: Table
    queue_change_lots: Table
    best_size_lots: Table
    trade_lots: Table
    latency_ns: Table
    buckets: tuple[Bucket, ...]

    @property
    def max_distance_ticks(self) -> int:
        """Distance of the farthest change from the best price, ticks."""
        return self.distance_ticks[-1]

    @property
    def mean_interval_ms(self) -> float:
        """Mean time between messages, ms."""
        inner = sum(self.interval_ms[1:-1]) + (self.interval_ms[0] + self.interval_ms[-1]) / 2
        return inner / (KNOTS - 1)

    def to_json(self) -> str:
        """Give canonical JSON, a line per attribute or bucket."""
        content = asdict(self)
        buckets = content.pop("buckets")
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
        rows = ",\n".join("  " + json.dumps(bucket) for bucket in buckets)
        return "{\n" + ",\n".join(lines) + ',\n "buckets": [\n' + rows + "\n ]\n}\n"

    @classmethod
    def from_json(cls, text: str) -> MarketProfile:
        """Read what `to_json` gave."""
        return TypeAdapter(cls).validate_json(text)


def profile_names() -> tuple[str, ...]:
    """Give the names of the profiles that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def profile(name: str = "btc-perp") -> MarketProfile:
    """Load a profile that comes with the package; an unknown name is a `SettingsError`, which lists them."""
    if name not in profile_names():
        raise SettingsError(
            expected="one of " + ", ".join(profile_names()),
            found=repr(name),
            where="profile",
            remedy="Choose a listed profile, or make your own with simulate.calibrate.",
        )
    return MarketProfile.from_json((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
