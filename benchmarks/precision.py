"""int64 pips beside decimal128(38, 18): what each costs in numpy, pyarrow, polars, on disk and in the replay.

The same simulated day both ways. Times are those of all threads of the process on one core, rows in memory and files in
the page cache; each pair runs in turn.

Run: `obp bench precision [--json]`, or `python -m benchmarks.precision [--json] [--messages N] [--runs N]`.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.report import Report, arguments, in_turn, run, stay_on_one_core
from benchmarks.simulated import KEY, simulated_lake
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.model import DecimalEncoding, FixedPoint, PartitionKey
from order_book_platform.model.decimal128 import DECIMAL, decimal_array, float_to_decimal, multiply
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.model.pip_encoding import in_precision
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore
from order_book_platform.storage.parquet_sink import ParquetSink

MESSAGES = 15_000
RUNS = 5
PIPS, DECIMALS = "int64 pips", "decimal128(38, 18)"
PLAIN = {"compression": "zstd", "use_dictionary": False}
POLARS_DECIMAL = pl.Decimal(38, 18)

Contestants = Mapping[str, Callable[[], object]]


def busy_ns(call: Callable[[], object]) -> int:
    """How long a call keeps cores busy, ns, over all threads: polars works in its own."""
    start_ns = time.process_time_ns()
    call()
    return time.process_time_ns() - start_ns


def compete(report: Report, work: str, contestants: Contestants, rows: int, runs: int) -> None:
    """Time systems in turn; the ratio is of the last one to the first."""
    times = in_turn({name: partial(busy_ns, call) for name, call in contestants.items()}, runs)
    costs = {name: [each / rows for each in each_run] for name, each_run in times.items()}
    for name, values in costs.items():
        report.add(name, work, "cost", "ns/row", values)
    first, *_, last = costs
    report.ratio(last, first, work, costs[last], costs[first])


def measure_conversion(report: Report, values: NDArray[np.float64], runs: int) -> None:
    """From the floats of the files."""
    column, series = pa.array(values), pl.Series("price", values)
    compete(
        report,
        "float64 to exact numbers, numpy",
        {PIPS: lambda: float_to_pips(values, 8), DECIMALS: lambda: float_to_decimal(values)},
        len(values),
        runs,
    )
    compete(
        report,
        "float64 to exact numbers, pyarrow (by way of text, the exact one)",
        {
            PIPS: lambda: pc.cast(pc.round(pc.multiply(column, 1e8)), pa.int64()),
            DECIMALS: lambda: pc.cast(pc.cast(column, pa.string()), DECIMAL),
        },
        len(values),
        runs,
    )
    compete(
        report,
        "float64 to exact numbers, polars (by way of text, the exact one)",
        {
            PIPS: lambda: (series * 1e8).round().cast(pl.Int64),
            DECIMALS: lambda: series.cast(pl.String).cast(POLARS_DECIMAL),
        },
        len(values),
        runs,
    )
    exact = float_to_decimal(values)
    for system, cast in (
        ("pyarrow's cast of float64", pc.cast(column, DECIMAL)),
        ("polars' cast of float64", series.cast(POLARS_DECIMAL).to_arrow()),
    ):
        wrong = pc.sum(pc.not_equal(cast.cast(DECIMAL), exact)).as_py()
        report.add(
            system, "to decimal(38, 18), not the decimal that was meant", "share", "1", [wrong / len(values)]
        )


def measure_codes(report: Report, price: pa.Array, size: pa.Array, runs: int) -> None:
    """What the replay adds for decimals, and the memory of its list of sizes."""
    codes = DecimalEncoding(10**10, FixedPoint(18, 18, 10**10, 1))
    rows = np.arange(len(price)) % 16_384
    found, sizes = codes.encode_prices(price)[0], codes.encode_sizes(size)
    works: tuple[tuple[str, Callable[[], object]], ...] = (
        (
            "decimals to codes, a price and a size",
            lambda: (codes.encode_prices(price), codes.encode_sizes(size)),
        ),
        (
            "codes to decimals, a price and a size",
            lambda: (codes.price_array(found[rows]), codes.size_array(sizes[rows])),
        ),
    )
    for work, call in works:
        times = in_turn({DECIMALS: partial(busy_ns, call)}, runs)[DECIMALS]
        report.add(DECIMALS, work, "cost", "ns/row", [each / len(price) for each in times])
    report.add(DECIMALS, "sizes of the day that differ", "count", "1", [float(codes.size_count)])
    many = decimal_array(multiply(7 * np.arange(1, 200_001), 1))
    tracemalloc.start()
    fresh = DecimalEncoding(1, FixedPoint(18, 18, 1, 1))
    fresh.encode_sizes(many)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    report.add(DECIMALS, "the replay's list of sizes", "memory", "bytes/size", [taken / fresh.size_count])


def measure_columns(report: Report, pips: pa.Table, decimals: pa.Table, runs: int) -> None:
    """Arithmetic in pyarrow and polars."""
    rows = pips.num_rows
    a, b = pips.column("price_pips"), decimals.column("price")
    middle = pc.approximate_median(a.cast(pa.float64())).as_py()
    limits = int(middle), Decimal(int(middle)).scaleb(-8)
    limit_b = pa.scalar(limits[1], DECIMAL)
    one, other = pl.DataFrame(pips), pl.DataFrame(decimals)
    lazy = pl.lit(limits[1]).cast(POLARS_DECIMAL)

    def grouped(table: pa.Table, name: str) -> pa.Table:
        return table.group_by("is_bid", use_threads=False).aggregate([(name, "min"), (name, "max")])

    def grouped_polars(frame: pl.DataFrame, name: str) -> pl.DataFrame:
        column = pl.col(name)
        return frame.group_by("is_bid").agg(column.min().alias("low"), column.max().alias("high"))

    works: tuple[tuple[str, Callable[[], object], Callable[[], object]], ...] = (
        ("sum, pyarrow", lambda: pc.sum(a), lambda: pc.sum(b)),
        ("sum, polars", one["price_pips"].sum, other["price"].sum),
        ("compare with a number, pyarrow", lambda: pc.greater(a, limits[0]), lambda: pc.greater(b, limit_b)),
        (
            "compare with a number, polars",
            lambda: one.select(pl.col("price_pips") > limits[0]),
            lambda: other.select(pl.col("price") > lazy),
        ),
        (
            "least and greatest by side, pyarrow",
            lambda: grouped(pips, "price_pips"),
            lambda: grouped(decimals, "price"),
        ),
        (
            "least and greatest by side, polars",
            lambda: grouped_polars(one, "price_pips"),
            lambda: grouped_polars(other, "price"),
        ),
        ("sort, polars", one["price_pips"].sort, other["price"].sort),
    )
    for work, first, second in works:
        compete(report, work, {PIPS: first, DECIMALS: second}, rows, runs)
    for system, table in ((PIPS, pips), (DECIMALS, decimals)):
        numbers = table.select([name for name in table.column_names if name.startswith(("price", "size"))])
        report.add(system, "a price and a size in memory", "memory", "bytes/row", [numbers.nbytes / rows])


def measure_files(report: Report, pips: pa.Table, decimals: pa.Table, folder: Path, runs: int) -> None:
    """Parquet as the platform writes it."""
    tables = {
        PIPS: (pips, RAW_DELTAS_SCHEMA),
        DECIMALS: (decimals, in_precision(RAW_DELTAS_SCHEMA, "decimal128")),
    }
    paths = {system: folder / f"{system[:3]}.parquet" for system in tables}

    def write(system: str) -> None:
        table, schema = tables[system]
        sink = ParquetSink(paths[system], schema)
        sink.write(table)
        sink.close()

    def each(call: Callable[[str], object]) -> Contestants:
        return {system: partial(call, system) for system in tables}

    rows = pips.num_rows
    compete(report, "deltas to Parquet", each(write), rows, runs)
    compete(
        report,
        "deltas from Parquet, pyarrow",
        each(lambda s: pq.read_table(paths[s], use_threads=False)),
        rows,
        runs,
    )
    compete(report, "deltas from Parquet, polars", each(lambda s: pl.read_parquet(paths[s])), rows, runs)
    paths["int64 pips, pages not delta-packed"] = folder / "plain.parquet"
    plain = ParquetSink(folder / "plain.parquet", RAW_DELTAS_SCHEMA, options=PLAIN)
    plain.write(pips)
    plain.close()
    for system, path in paths.items():
        report.add(system, "deltas in Parquet", "size", "bytes/row", [path.stat().st_size / rows])
        report.add(system, "price and size in Parquet", "size", "bytes/row", [_column_bytes(path) / rows])


def _column_bytes(path: Path) -> int:
    """Of the prices and sizes alone."""
    footer = pq.ParquetFile(path).metadata
    return sum(
        footer.row_group(group).column(column).total_compressed_size
        for group in range(footer.num_row_groups)
        for column in range(footer.num_columns)
        if footer.schema.column(column).name.startswith(("price", "size"))
    )


class Component(Protocol):
    """What every component has in common."""

    def run(self, key: PartitionKey) -> object:
        """Publish one partition."""


COMPONENTS: dict[str, Callable[[DataStore, Settings], Component]] = {
    "raw_deltas, snapshots and trades": LakeIngest,
    "sequence_gap_report": GapReporter,
    "data_assessment": DataAssessor,
    "reconstructed_books": Reconstructor,
}


def in_precision_of(settings: Settings, precision: str) -> Settings:
    """The same settings with another precision of every instrument."""
    chosen = tuple(entry.model_copy(update={"precision": precision}) for entry in settings.instruments)
    return settings.model_copy(
        update={"instruments": chosen, "data_root": settings.data_root.with_name(precision)}
    )


def peak_bytes(settings: Settings) -> float:
    """Resident memory that a process of its own takes for everything up to the books, bytes; a Linux matter."""
    store = DataStore(settings.data_root)
    for component in COMPONENTS.values():
        component(store, settings).run(KEY)
    # Linux hands the parent's peak on to a child as `ru_maxrss`, and not as this.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(peak) * 1024


def measure_components(report: Report, settings: Settings, runs: int) -> None:
    """From files to books."""
    chosen = {PIPS: in_precision_of(settings, "int64"), DECIMALS: in_precision_of(settings, "decimal128")}
    stores = {system: DataStore(each.data_root) for system, each in chosen.items()}
    rows = 0
    for work, component in COMPONENTS.items():

        def make(system: str, component: Callable[[DataStore, Settings], Component] = component) -> object:
            return component(stores[system], chosen[system]).run(KEY)

        for system in chosen:
            make(system)
        rows = rows or stores[PIPS].manifest("raw_deltas", KEY).rows["deltas.parquet"]
        if component is not DataAssessor:
            calls = {system: partial(make, system) for system in chosen}
            compete(report, work, calls, rows, runs)
    for system, each in chosen.items():
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            report.add(
                system,
                "from files to books",
                "peak memory",
                "bytes",
                [fresh.submit(peak_bytes, each).result()],
            )
    for dataset in ("raw_deltas", "snapshots", "trades", "reconstructed_books"):
        for system, store in stores.items():
            files = store.manifest(dataset, KEY).files.values()
            report.add(system, dataset, "size", "bytes", [float(sum(file["bytes"] for file in files))])
    report.bar(
        "rows, known levels and counts of both paths differ", 0, float(_different(stores)), at_most=True
    )


def _different(stores: Mapping[str, DataStore]) -> int:
    counts = [store.manifest("reconstructed_books", KEY).metadata["counts"] for store in stores.values()]
    return sum(counts[0][name] != counts[1][name] for name in counts[0])


def measure_all(messages: int, runs: int) -> Report:
    """Every work.

    Args:
        messages: of the simulated day; each has about 70 rows.
        runs: turns that count.
    """
    report = Report("precision")
    with tempfile.TemporaryDirectory() as name:
        _, settings = simulated_lake(Path(name), messages)
        measure_components(report, settings, runs)
        stores = [DataStore(in_precision_of(settings, each).data_root) for each in ("int64", "decimal128")]
        pips, decimals = (store.table("raw_deltas", KEY).combine_chunks() for store in stores)
        paths = (settings.lake_root / "book_delta_v2" / KEY.path).glob("*.parquet")
        values = pq.read_table(next(paths), columns=["price"]).column(0).to_numpy()
        measure_conversion(report, values, runs)
        price, size = (decimals.column(column).combine_chunks() for column in ("price", "size"))
        measure_codes(report, price, size, runs)
        measure_columns(report, pips, decimals, runs)
        measure_files(report, pips, decimals, Path(name), runs)
    return report


def main() -> None:
    """Measure and print."""
    parser = arguments("precision", "int64 pips beside decimal128.")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="of the day (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="turns that count (default: %(default)s)")
    chosen = parser.parse_args()
    if chosen.messages < 1 or chosen.runs < 1:
        parser.error("--messages and --runs: expected 1 or more")
    stay_on_one_core()
    pa.set_cpu_count(1)
    measure_all(chosen.messages, chosen.runs).show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
