"""A simulated day with everything that a fidelity report can be held against, made by the platform's own components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from order_book_platform.clock import NS_PER_SECOND

if TYPE_CHECKING:
    import polars as pl

    from order_book_platform.fidelity import MadeDay
    from order_book_platform.model import PartitionKey
    from order_book_platform.observability import Progress
    from order_book_platform.storage import DataStore

PROFILE = "btc-perp"
EXTEND_EVERY = 2
"""A small day needs more snapshots than a long one to know all levels most of the time."""
DROPPED = "dropped"
LOST = 16
FAULTS = {
    DROPPED: (f"drop={LOST}", f"{LOST} messages in a row never arrived; the book was made without them"),
    "silence": ("silence=12x4s", "twelve silences of four seconds"),
    "skew": ("clock_skew=5s", "the recorder's clock five seconds ahead"),
    "unsorted": ("unsorted=400", "400 pairs of rows exchanged between neighbouring messages"),
}
"""Faults of a lake: as `Faults.parse` takes them, and in words. What the last three spoil is seen before the book."""
BACK, BACK_STEP, BACK_NS = "clock back", 50, 2 * NS_PER_SECOND


def sound_day(
    folder: Path,
    key: PartitionKey,
    messages: int,
    seed: int,
    progress: Progress,
    faults: str = "",
    spoil: Callable[[Path, PartitionKey], None] = lambda *_: None,
) -> DataStore:
    """Simulate a day and make its books.

    Args:
        folder: a new one; lake and store are made in it.
        key: symbol and day.
        messages: of the market.
        seed: which market.
        progress: told of each component's work.
        faults: what goes wrong before the files are written.
        spoil: what is done to the files of this lake and partition.

    Returns:
        The store, up to `reconstructed_books` and with `tickers`: the market's own best bid and ask. They and the
        deltas have transaction times, as a capture has.
    """
    from order_book_platform.assess import DataAssessor, GapReporter
    from order_book_platform.reconstruct import Reconstructor
    from order_book_platform.settings import InstrumentSettings, ReconstructSettings, Settings
    from order_book_platform.simulate import Faults, MarketSimulator, profile
    from order_book_platform.sources import LakeIngest
    from order_book_platform.storage import DataStore

    lake = folder / "lake"
    MarketSimulator(profile(PROFILE), seed).write(lake, key, messages, Faults.parse(faults), progress)
    spoil(lake, key)
    settings = Settings(
        lake_root=lake,
        data_root=folder / "store",
        first_day=key.day,
        instruments=(InstrumentSettings(symbol=key.instrument.key),),
        reconstruct=ReconstructSettings(extend_every=EXTEND_EVERY),
    )
    store = DataStore(settings.data_root)
    for component in (LakeIngest, GapReporter, DataAssessor, Reconstructor):
        component(store, settings).run(key, progress)
    _publish_tickers(lake, store, key)
    _add_transaction_times(lake, store, key)
    return store


def faulty_days(
    folder: Path, key: PartitionKey, messages: int, seed: int, progress: Progress
) -> Iterator[MadeDay]:
    """The same market with what can go wrong before there is a book, one fault at a time.

    Args:
        folder: a new one.
        key: symbol and day.
        messages: of the market.
        seed: which market.
        progress: told of each component's work.
    """
    from order_book_platform.fidelity import MadeDay

    for name, (faults, words) in FAULTS.items():
        store = sound_day(folder / name, key, messages, seed, progress, faults)
        fails: tuple[str, ...] = ()
        figures: dict[str, float] = {}
        if name == DROPPED:
            fails = ("resyncs", "unseen_references")
            figures = {"unseen_references": float(_unseen(folder / name / "lake", key))}
        yield MadeDay(name, words, store, fails, figures)
    store = sound_day(folder / BACK, key, messages, seed, progress, spoil=_set_back)
    words = f"the exchange's clock {BACK_NS // NS_PER_SECOND} s back in every {BACK_STEP}th message"
    sent = len(_table(folder / BACK / "lake", "truth/update_chain", key))
    back = len(range(BACK_STEP, sent, BACK_STEP))
    yield MadeDay(BACK, words, store, ("origin_valid",), {"origin_valid": 1 - back / (sent - 1)})


def _set_back(lake: Path, key: PartitionKey) -> None:
    """Origin times that are wrong in themselves; the first message is right."""
    import polars as pl

    for path in (lake / "book_delta_v2" / key.path).glob("*.parquet"):
        deltas = pl.read_parquet(path, hive_partitioning=False)
        message = pl.col("sequence_number").rle_id()
        wrong = (message % BACK_STEP == 0) & (message > 0)
        deltas.with_columns(pl.col("timestamp") - pl.when(wrong).then(BACK_NS).otherwise(0)).write_parquet(
            path
        )


def _unseen(lake: Path, key: PartitionKey) -> int:
    """Snapshots that stand on a message that was sent and did not arrive."""
    sent = set(_table(lake, "truth/update_chain", key)["final_update_id"].to_list())
    lost = sent - set(_table(lake, "book_delta_v2", key)["sequence_number"].to_list())
    return sum(number in lost for number in _table(lake, "book", key)["sequence_number"].to_list())


def _publish_tickers(lake: Path, store: DataStore, key: PartitionKey) -> None:
    """The simulation's true best bid and ask as a partition of tickers."""
    import polars as pl

    from order_book_platform.datasets.tickers import TICKERS_SCHEMA
    from order_book_platform.model.fixed_point import float_to_pips

    truth, point = _table(lake, "truth/book_ticker", key), store.manifest("raw_deltas", key).fixed_point
    columns = {
        "origin_time": truth["timestamp"],
        "transaction_time": truth["timestamp"],
        "received_time": truth["receipt_timestamp"],
        "sequence_number": truth["update_id"],
    }
    for side in ("bid", "ask"):
        for what, decimals in (("price", point.price_decimals), ("size", point.size_decimals)):
            pips, _ = float_to_pips(truth[f"{side}_{what}"].to_numpy(), decimals)
            columns[f"{side}_{what}_pips"] = pl.Series(pips)
    table = pl.DataFrame(columns).select(TICKERS_SCHEMA.names).to_arrow().cast(TICKERS_SCHEMA)
    with store.write("tickers", key) as writer:
        writer.metadata.update(point.to_metadata())
        writer.parquet("tickers.parquet", TICKERS_SCHEMA).write(table)


def _add_transaction_times(lake: Path, store: DataStore, key: PartitionKey) -> None:
    """When each message's changes took place, which Crypto Lake's files do not say and the simulation knows."""
    import polars as pl

    from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
    from order_book_platform.model.dataset import DATASETS

    chain = _table(lake, "truth/update_chain", key).select(
        pl.col("final_update_id").alias("sequence_number"),
        pl.col("transaction_timestamp").alias("transaction_time"),
    )
    deltas, manifest = store.table("raw_deltas", key), store.manifest("raw_deltas", key)
    frame = pl.DataFrame(deltas).drop("transaction_time")
    joined = frame.join(chain, on="sequence_number", how="left", maintain_order="left")
    table = joined.select(RAW_DELTAS_SCHEMA.names).to_arrow().cast(RAW_DELTAS_SCHEMA)
    with store.write("raw_deltas", key) as writer:
        writer.metadata.update(manifest.metadata)
        writer.parquet(DATASETS["raw_deltas"].table_file, RAW_DELTAS_SCHEMA).write(table)


def _table(lake: Path, table: str, key: PartitionKey) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(sorted((lake / table / key.path).glob("*.parquet")), hive_partitioning=False)
