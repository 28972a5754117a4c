"""`obp fidelity self-test` on simulated days: a sound one, and days with one fault each before there is a book.

The platform's own components make the books of each day. The stores also hold what a fidelity report can be measured
against: the market's true best bid and ask as tickers, and the transaction time of every delta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from rich.text import Text

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.cli.output import print_json, progress_bars, stdout, table
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA
from order_book_platform.fidelity import MadeDay, SelfTest, SelfTestResult
from order_book_platform.model import PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.model.gates import figure
from order_book_platform.observability import Progress
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import InstrumentSettings, ReconstructSettings, Settings
from order_book_platform.simulate import Faults, MarketSimulator, profile
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore

SYMBOL, DAY, PROFILE = "SIMULATED:BTC-USDT-PERP", "2024-08-08", "btc-perp"
"""Symbol and day that are simulated, and the recording that they resemble."""
EXTEND_EVERY = 2
"""Every second snapshot extends the book: a small day needs more of them to know all levels most of the time."""
DROPPED = "dropped"
LOST = 16
"""Number of messages in a row that never arrive on the day `DROPPED`."""
FAULTS = {
    DROPPED: (f"drop={LOST}", f"{LOST} messages in a row never arrived; the book was made without them"),
    "silence": ("silence=12x4s", "twelve silences of four seconds"),
    "skew": ("clock_skew=5s", "the recorder's clock five seconds ahead"),
    "unsorted": ("unsorted=400", "400 pairs of rows exchanged between neighbouring messages"),
}
"""Name of a faulty day to its faults as `Faults.parse` takes them, and in words. The harm that the last three do is
seen in the deltas, before there is a book."""
CLOCK_BACK = "clock back"
"""Name of the day on which the exchange's clock goes back."""
BACK_EVERY = 50
"""On that day, every so many messages one has a wrong origin time."""
BACK_NS = 2 * NS_PER_SECOND
"""How far its origin time goes back."""


def run_self_test(messages: int, seed: int, as_json: bool) -> bool:
    """Make the days, hold the report of each against what it has to say, and print whether all is as expected."""
    key = PartitionKey.parse(SYMBOL, DAY)
    with TemporaryDirectory(prefix="obp-self-test-") as folder, progress_bars() as progress:
        store = sound_day(Path(folder) / "sound", key, messages, seed, progress)
        faulty = list(faulty_days(Path(folder), key, messages, seed, progress))
        found = SelfTest(store, key).run(faulty, progress)
    if as_json:
        print_json(_document(found, messages, seed))
    else:
        _show(found)
    return found.passed


def sound_day(
    folder: Path,
    key: PartitionKey,
    messages: int,
    seed: int,
    progress: Progress,
    faults: str = "",
    spoil: Callable[[Path, PartitionKey], None] = lambda lake, key: None,
) -> DataStore:
    """Simulate a day of so many depth messages in a new folder, and make its books.

    `faults` are those of the recording; `spoil` is called with lake and partition before the components read them. The
    store has everything up to `reconstructed_books`, and `tickers`, the market's own best bid and ask. Tickers and
    deltas have transaction times, as those of a capture have.
    """
    lake = folder / "lake"
    MarketSimulator(profile(PROFILE), seed).write(lake, key, messages, Faults.parse(faults), progress)
    spoil(lake, key)
    # Constructed without reading the environment, which would win over the folders given here.
    settings = Settings.model_construct(
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
    """Make days of the same market, each with one fault that harms the data before there is a book."""
    for name, (faults, words) in FAULTS.items():
        store = sound_day(folder / name, key, messages, seed, progress, faults)
        fails: tuple[str, ...] = ()
        figures: dict[str, float] = {}
        if name == DROPPED:
            fails = ("resyncs", "unseen_references")
            figures = {"unseen_references": float(_unseen_snapshots(folder / name / "lake", key))}
        yield MadeDay(name, words, store, fails, figures)
    store = sound_day(folder / CLOCK_BACK, key, messages, seed, progress, spoil=_set_clock_back)
    words = f"the exchange's clock {BACK_NS // NS_PER_SECOND} s back in every {BACK_EVERY}th message"
    sent = len(_table(folder / CLOCK_BACK / "lake", "truth/update_chain", key))
    back = len(range(BACK_EVERY, sent, BACK_EVERY))
    yield MadeDay(CLOCK_BACK, words, store, ("origin_valid",), {"origin_valid": 1 - back / (sent - 1)})


def _set_clock_back(lake: Path, key: PartitionKey) -> None:
    """Make the origin time of every `BACK_EVERY`-th message wrong; the first message stays right."""
    for path in (lake / "book_delta_v2" / key.path).glob("*.parquet"):
        deltas = pl.read_parquet(path, hive_partitioning=False)
        message = pl.col("sequence_number").rle_id()
        wrong = (message % BACK_EVERY == 0) & (message > 0)
        back = pl.when(wrong).then(BACK_NS).otherwise(0)
        deltas.with_columns(pl.col("timestamp") - back).write_parquet(path)


def _unseen_snapshots(lake: Path, key: PartitionKey) -> int:
    """Count the snapshots that stand on a message that was sent and did not arrive."""
    sent = set(_table(lake, "truth/update_chain", key)["final_update_id"].to_list())
    lost = sent - set(_table(lake, "book_delta_v2", key)["sequence_number"].to_list())
    return sum(number in lost for number in _table(lake, "book", key)["sequence_number"].to_list())


def _publish_tickers(lake: Path, store: DataStore, key: PartitionKey) -> None:
    """Publish the simulation's true best bid and ask as a partition of tickers."""
    truth, point = _table(lake, "truth/book_ticker", key), store.manifest("raw_deltas", key).fixed_point
    columns = {
        "origin_time": truth["timestamp"],
        "transaction_time": truth["timestamp"],
        "received_time": truth["receipt_timestamp"],
        "sequence_number": truth["update_id"],
    }
    for side in ("bid", "ask"):
        for field, decimals in (("price", point.price_decimals), ("size", point.size_decimals)):
            pips, _ = float_to_pips(truth[f"{side}_{field}"].to_numpy(), decimals)
            columns[f"{side}_{field}_pips"] = pl.Series(pips)
    table = pl.DataFrame(columns).select(TICKERS_SCHEMA.names).to_arrow().cast(TICKERS_SCHEMA)
    with store.write("tickers", key) as writer:
        writer.metadata.update(point.to_metadata())
        writer.parquet(DATASETS["tickers"].table_file, TICKERS_SCHEMA).write(table)


def _add_transaction_times(lake: Path, store: DataStore, key: PartitionKey) -> None:
    """Publish the deltas again with transaction times, which the simulation knows and Crypto Lake's files lack."""
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
    """Read a table of the lake, or of the simulation's truth beside it."""
    return pl.read_parquet(sorted((lake / table / key.path).glob("*.parquet")), hive_partitioning=False)


def _document(found: SelfTestResult, messages: int, seed: int) -> dict[str, Any]:
    cells = []
    for cell in found.cells:
        values = asdict(cell)
        # Readers of the document know the figure of the slow definition by this key.
        values["plain"] = values.pop("slow")
        cells.append({**values, "problem": cell.problem})
    return {
        "passed": found.passed,
        "messages": messages,
        "seed": seed,
        "defects": found.words,
        "cells": cells,
        "problems": list(found.problems),
    }


def _show(found: SelfTestResult) -> None:
    """Print the defects, every gate on every day, the figures that were expected, and each problem."""
    console = stdout()
    heads = [str(number) for number in range(len(found.days))]
    defects = ((number, day, found.words[day]) for number, day in enumerate(found.days))
    console.print(table("Defects", ("", "defect", "what is done"), defects, right=("",)))
    console.print()
    title = "Gates by defect: F fails, · holds, ! not as expected"
    console.print(table(title, ("gate", *heads, "bar"), _gate_rows(found)))
    console.print()
    title = "Gates that must fail, and figures that follow from the injection"
    columns = ("defect", "gate", "bar", "by injection", "slowly", "found", "gate must", "result")
    console.print(table(title, columns, _expectations(found), right=columns[3:6]))
    for problem in found.problems:
        console.print(Text(problem, "bold red"))
    compared = sum(cell.compared for cell in found.cells)
    end = ("all as expected", "green") if found.passed else ("NOT AS EXPECTED", "bold red")
    counts = f"{len(found.days) - 1} defects, {len(found.gates)} gates, {compared:,} figures"
    console.print(Text.assemble(f"\n{counts} held against slow ones: ", end))


def _gate_rows(found: SelfTestResult) -> Iterator[Sequence[object]]:
    """Return each gate with a mark for each day, and its bar."""
    by_place = {(cell.gate, cell.defect): cell for cell in found.cells}
    for gate in found.gates:
        cells = [by_place[gate, day] for day in found.days if (gate, day) in by_place]
        marks = (
            Text("!", "bold red") if cell.problem else "·" if cell.passed else Text("F", "yellow")
            for cell in cells
        )
        yield gate, *marks, cells[0].bar


def _expectations(found: SelfTestResult) -> Iterator[Sequence[object]]:
    """Return rows of the gates that must fail, of figures that follow from the defect, and of problems."""
    for cell in found.cells:
        if cell.must == "fail" or cell.injected is not None or cell.problem:
            yield (
                cell.defect,
                cell.gate,
                cell.bar,
                "" if cell.injected is None else figure(cell.injected),
                figure(cell.slow) if cell.compared else "",
                figure(cell.found, cell.bar),
                cell.must,
                Text("NO", "bold red") if cell.problem else Text("yes", "green"),
            )
