"""Injecting faults: Crypto Lake files of one symbol and day in, the same files with faults out.

Recorded and simulated files take the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.errors import SettingsError
from order_book_platform.model import PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.simulate.fault_plan import Edits, FaultPlan, Row, plan_faults
from order_book_platform.simulate.faults import Faults
from order_book_platform.simulate.lake_files import (
    LAKE_TABLES,
    SCHEMAS,
    LakeWriter,
    staging_folder,
    write_record,
    written_files,
)
from order_book_platform.simulate.lake_index import read_index
from order_book_platform.sources import LakeSource

_BATCH_ROWS = 1_048_576


@dataclass(frozen=True, slots=True)
class InjectionReport:
    """The files that `inject_faults` wrote, and the faults in them.

    Attributes:
        key: symbol and day.
        rows: number of rows by table.
        injected: the faults, as in the record.
        files: path of every file by table; `truth/faults` is the record.
    """

    key: PartitionKey
    rows: dict[str, int]
    injected: tuple[dict[str, Any], ...]
    files: dict[str, Path]


def inject_faults(
    source_root: Path,
    out_root: Path,
    key: PartitionKey,
    faults: Faults,
    seed: int,
    progress: Progress = silent,
) -> InjectionReport:
    """Copy one symbol-day's `book_delta_v2`, `book` and `trades` with faults applied.

    Args:
        source_root: holds the tables, recorded or simulated; left as it is.
        out_root: another folder; a record of the faults is written to its `truth/faults`.
        key: symbol and day.
        faults: what goes wrong.
        seed: chooses where, as far as `faults` does not say.
        progress: told of rows.

    Raises:
        SettingsError: both roots are the same, the faults do not fit, or recorded files are in the way.
        SourceError: the source cannot be read.
        DiskFullError: there is no room.
    """
    source_root, out_root = Path(source_root), Path(out_root)
    if source_root.resolve() == out_root.resolve():
        raise SettingsError(
            expected="a folder other than the source",
            found=str(out_root),
            where="out_root",
            remedy="Faults are written to a copy; choose where it shall be.",
        )
    with staging_folder(out_root, key) as folder:
        injected, rows = inject(LakeSource(source_root), folder / "done", key, faults, seed, progress)
        write_record(folder / "done", key, seed=seed, faults=str(faults), injected=list(injected))
    return InjectionReport(key, rows, injected, written_files(out_root, key, LAKE_TABLES))


def inject(
    source: LakeSource, out: Path, key: PartitionKey, faults: Faults, seed: int, progress: Progress
) -> tuple[tuple[dict[str, Any], ...], dict[str, int]]:
    """Plan the faults and write the three tables with them.

    Returns:
        The entries of the record, and the number of rows by table.
    """
    plan = plan_faults(read_index(source, key), key, faults, seed)
    with LakeWriter(out, key, LAKE_TABLES) as writer:
        for table in LAKE_TABLES:
            files = source.files(table, key)
            total, done = sum(file.rows for file in files), 0
            batches = (
                batch for file in files for _, batch in file.batches(SCHEMAS[table].names, _BATCH_ROWS)
            )
            for rows in apply_plan(table, batches, plan):
                writer.write(table, rows)
                done += rows.num_rows
                progress(f"faults in {table}", min(done, total), total)
    return tuple(plan.record), writer.rows


def apply_plan(table: str, batches: Iterable[pa.RecordBatch], plan: FaultPlan) -> Iterator[pa.Table]:
    """Give the batches of a table with the plan's edits, cast to the schema of the table."""
    edits = {"book_delta_v2": plan.deltas, "book": plan.books}.get(table, Edits())
    first = 0
    for batch in batches:
        rows = pa.Table.from_batches([batch]).select(SCHEMAS[table].names).cast(SCHEMAS[table])
        changed = _apply(rows, first, edits)
        if plan.clock_skew_ns:
            at = changed.schema.get_field_index("receipt_timestamp")
            skewed = changed.column(at).to_numpy() + plan.clock_skew_ns
            changed = changed.set_column(at, changed.field(at), pa.array(skewed))
        yield changed
        first += batch.num_rows


def _apply(rows: pa.Table, first: int, edits: Edits) -> pa.Table:
    """Apply the edits that fall on rows first … first + n − 1, in one gather over the old rows and the new ones."""
    stop = first + rows.num_rows
    order = np.arange(rows.num_rows)
    new: list[Row] = []
    for place, row in edits.replaced.items():
        if first <= place < stop:
            order[place - first] = rows.num_rows + len(new)
            new.append(row)
    kept = np.ones(rows.num_rows, np.bool_)
    for start, end in edits.removed:
        kept[max(0, start - first) : max(0, end - first)] = False
    inserted = [(place - first + 1, row) for place, row in edits.inserted if first <= place < stop]
    if not new and not inserted and kept.all():
        return rows
    places = [place for place, _ in inserted]
    order = np.insert(order, places, np.arange(len(inserted)) + rows.num_rows + len(new))
    kept = np.insert(kept, places, True)
    new += [row for _, row in inserted]
    together = pa.concat_tables([rows, pa.Table.from_pylist(new, schema=rows.schema)])
    return together.take(pa.array(order[kept]))
