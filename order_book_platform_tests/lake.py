"""A small Crypto Lake for tests: sound tables to damage, and settings that point at them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from order_book_platform.model import PartitionKey
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import LakeFile

KEY = PartitionKey.parse("TEST:ABC-USD", "2024-01-02")
START_NS = 1_704_153_600_000_000_000
"""2024-01-02T00:00:00Z."""
MESSAGES = 30


def delta_frame(messages: int = MESSAGES) -> pl.DataFrame:
    """Messages of three rows, 100 ms apart, prices in halves around 100, sizes in quarters."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(messages):
        for _ in range(3):
            is_bid = bool(rng.integers(2))
            offset = int(rng.integers(1, 30))
            rows.append(
                {
                    "timestamp": START_NS + i * 100_000_000,
                    "receipt_timestamp": START_NS + i * 100_000_000 + 4_000_000,
                    "sequence_number": 1_000 + 7 * i,
                    "side_is_bid": is_bid,
                    "price": 100 - offset / 2 if is_bid else 100 + offset / 2,
                    "size": int(rng.integers(0, 5)) / 4,
                }
            )
    return pl.DataFrame(rows).unique(
        ["sequence_number", "side_is_bid", "price"], keep="first", maintain_order=True
    )


def book_frame(rows: int = 5) -> pl.DataFrame:
    """Snapshots of twenty levels after every sixth message; they do not agree with the deltas."""
    table = []
    for i in range(rows):
        row: dict[str, float] = {
            "timestamp": START_NS + i * 600_000_000,
            "receipt_timestamp": START_NS + i * 600_000_000 + 4_000_000,
            "sequence_number": 1_000 + 42 * i,
        }
        for level in range(20):
            row |= {f"bid_{level}_price": 99.5 - level / 2, f"bid_{level}_size": 1.25}
        for level in range(20):
            row |= {f"ask_{level}_price": 100.5 + level / 2, f"ask_{level}_size": 0.75}
        table.append(row)
    integers = dict.fromkeys(("timestamp", "receipt_timestamp", "sequence_number"), pl.Int64)
    return pl.DataFrame(table, schema={name: integers.get(name, pl.Float64) for name in table[0]})


def trade_frame(rows: int = 10) -> pl.DataFrame:
    """Trades every 250 ms, buys and sells in turn."""
    return pl.DataFrame(
        {
            "side": ["buy", "sell"] * (rows // 2),
            "amount": [0.25] * rows,
            "price": [100.5, 99.5] * (rows // 2),
            "id": list(range(rows)),
            "timestamp": [START_NS + i * 250_000_000 for i in range(rows)],
            "receipt_timestamp": [START_NS + i * 250_000_000 + 1 for i in range(rows)],
        }
    )


def at(row: int, column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A change of one cell: its row, its column, and its new value or the expression that gives it."""
    index = pl.int_range(pl.len())
    return lambda frame: frame.with_columns(
        pl.when(index == row)
        .then(value if isinstance(value, pl.Expr) else pl.lit(value))
        .otherwise(column)
        .alias(column)
    )


def write_lake(
    root: Path,
    key: PartitionKey,
    deltas: pl.DataFrame,
    book: pl.DataFrame,
    trades: pl.DataFrame,
    name: str = "1.parquet",
) -> None:
    """Write the three tables of one symbol and day."""
    for table, frame in (("book_delta_v2", deltas), ("book", book), ("trades", trades)):
        folder = root / table / key.path
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / name)


def write_settings(
    folder: Path,
    *,
    lake_root: str = "lake",
    keys: Sequence[PartitionKey] = (KEY,),
    instrument: Mapping[str, object] | None = None,
    **sections: object,
) -> Path:
    """A settings file in `folder`; sections are dicts of values, such as `sources={"batch_rows": 3}`.

    `instrument` holds values of every instrument besides its symbol.
    """
    lines = [
        f'lake_root = "{lake_root}"',
        'data_root = "store"',
        f'first_day = "{min(key.day for key in keys)}"',
    ]
    for name, values in sections.items():
        lines.append(f"[{name}]")
        assert isinstance(values, dict)
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    for symbol in sorted({key.instrument.key for key in keys}):
        lines += ["[[instruments]]", f'symbol = "{symbol}"']
        lines += [f"{key} = {_toml(value)}" for key, value in (instrument or {}).items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def files_of(folder: Path, *frames: pl.DataFrame, rows: int) -> list[LakeFile]:
    """Opened files with these rows, in row groups of so many."""
    path = folder / "book_delta_v2" / KEY.path
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        pq.write_table(frame.to_arrow(), path / f"{number}.parquet", row_group_size=rows)
    return LakeSource(folder).files("book_delta_v2", KEY)
