"""Two checkouts on the same days: does a change of the code change any value of any output?

Each checkout simulates days, sound and faulty ones, and makes the assets of these and of the recorded days with many
settings (`benchmarks.version_scenarios`), in its own environment and by its command line and the components that the
package exports. Then the replay hashes and all Parquet tables, JSON documents and texts are compared
(`benchmarks.version_differences`, which lists what is left out). Before that, values in copies are altered: every
alteration has to be found. The old checkout's outputs are kept in the work folder for the next comparison.

Run: `python -m benchmarks.compare_versions --old DIR --new DIR [--work DIR] [--messages N] [--json]`. Exits 1 if
anything differs.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.report import arguments, run
from benchmarks.streams import recordings_folder
from benchmarks.version_differences import MANIFEST, Comparison, compare_folders
from benchmarks.version_outputs import Checkout
from benchmarks.version_scenarios import SIMULATED, scenarios
from order_book_platform.cli.output import print_json, stdout, table
from order_book_platform.errors import BenchmarkError

MESSAGES = 4_000
"""Of a simulated day: enough for 2,000 snapshots and some 300,000 deltas of the perpetual."""
SHOWN = 40
"""Differences that are printed; all are counted."""
OUTPUTS = ("store", "commands")
"""Folders of a scenario that are compared."""


def compare(old: Checkout, new: Checkout) -> dict[str, Comparison]:
    """All outputs of two checkouts, by lake and scenario."""
    found = {
        f"lake {name}": compare_folders(old.lake(name), new.lake(name), f"lakes/{name}") for name in SIMULATED
    }
    for scenario in scenarios():
        found[scenario.name] = Comparison()
        for part in OUTPUTS:
            one, other = (side.folder(scenario) / part for side in (old, new))
            found[scenario.name].add(compare_folders(one, other, f"{scenario.name}/{part}"))
        # Two empty folders are equal, too.
        if found[scenario.name].hashes != len(scenario.days):
            found[scenario.name].differs(
                f"{scenario.name}: replay hashes of {len(scenario.days)} days",
                *[f"{found[scenario.name].hashes} of both"] * 2,
            )
    return found


def check_itself(made: Checkout) -> int:
    """Alter one value at a time in a copy of a partition's outputs, and have each alteration found.

    Args:
        made: has its outputs.

    Returns:
        How many alterations were found: all of them.

    Raises:
        BenchmarkError: one was not found, or more was found than it.
    """
    scenario = scenarios()[0]
    alterations: Mapping[str, Callable[[Path], None]] = {
        "reconstructed_books/*/closing_state.parquet": _alter_number,
        "raw_deltas/*/deltas.parquet": _exchange_rows,
        "rl_features/*/features.parquet": _turn_sign_of_zero,
        "snapshots/*/snapshots.parquet": _alter_dtype,
        "trades/*/trades.parquet": Path.unlink,
        "data_assessment/*/report.md": lambda path: _replace(path, "Recommended", "recommended"),
        "fidelity_report/*/report.html": lambda path: _replace(path, "</h1>", "!</h1>"),
        "sequence_gap_report/*/report.json": lambda path: _replace(path, '"gaps": 0', '"gaps": 0.0'),
        f"reconstructed_books/*/{MANIFEST}": lambda path: _replace(
            path, '"replay_hash": "', '"replay_hash": "0'
        ),
    }
    for pattern, alter in alterations.items():
        dataset, _, name = pattern.split("/")
        store = made.folder(scenario) / "store" / dataset
        folder = min(path.parent for path in store.rglob(name))
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / "copy"
            shutil.copytree(folder, copy)
            alter(copy / name)
            found = compare_folders(folder, copy, f"self-check/{dataset}").differences
        if len(found) != 1 or name not in found[0]:
            raise BenchmarkError(
                expected=f"one difference, in {name}, after {name} was altered",
                found="; ".join(found) or "none",
                where=f"self-check, {dataset}",
                remedy="Correct benchmarks/version_differences.py: its other results are worth nothing.",
            )
    return len(alterations)


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    before = pq.read_table(path)
    metadata = {
        key: value for key, value in (pq.read_metadata(path).metadata or {}).items() if b":" not in key
    }
    pq.write_table(change(before).replace_schema_metadata(metadata), path)


def _with_column(before: pa.Table, name: str, values: pa.Array) -> pa.Table:
    at = before.column_names.index(name)
    return before.set_column(at, before.schema.field(at).with_type(values.type), values)


def _alter_number(path: Path) -> None:
    """The last size of all is one pip larger."""

    def change(before: pa.Table) -> pa.Table:
        sizes = before["size_pips"].to_pylist()
        return _with_column(before, "size_pips", pa.array([*sizes[:-1], sizes[-1] + 1], pa.int64()))

    _rewrite(path, change)


def _exchange_rows(path: Path) -> None:
    """Two sizes of the day change their places."""

    def change(before: pa.Table) -> pa.Table:
        sizes = before["size_pips"].to_numpy().copy()
        other = next(row for row in range(len(sizes)) if sizes[row] != sizes[0])
        sizes[[0, other]] = sizes[[other, 0]]
        return _with_column(before, "size_pips", pa.array(sizes))

    _rewrite(path, change)


def _turn_sign_of_zero(path: Path) -> None:
    """A return of 0.0 is −0.0, the smallest difference there is."""

    def change(before: pa.Table) -> pa.Table:
        values = before["ret_1s"].to_pylist()
        values[values.index(0.0)] = -0.0
        return _with_column(before, "ret_1s", pa.array(values, before.schema.field("ret_1s").type))

    _rewrite(path, change)


def _alter_dtype(path: Path) -> None:
    """Sequence numbers without a sign, with the same values."""
    _rewrite(
        path,
        lambda before: _with_column(
            before, "sequence_number", pc.cast(before["sequence_number"], pa.uint64()).combine_chunks()
        ),
    )


# --- the program ----------------------------------------------------------------------------------------------------


def document(
    old: Checkout,
    new: Checkout,
    found: Mapping[str, Comparison],
    alterations: int,
    seconds: Mapping[str, float],
) -> dict[str, object]:
    """The JSON object."""
    total = _total(found)
    return {
        "comparison": "compare_versions",
        "old": old.source(),
        "new": new.source(),
        "seconds": dict(seconds),
        "self_check_alterations_found": alterations,
        "results": [
            {"what": name, **asdict(each), "differences": len(each.differences)}
            for name, each in found.items()
        ],
        "total": {**asdict(total), "differences": len(total.differences)},
        "differences": total.differences[:SHOWN],
    }


def _total(found: Mapping[str, Comparison]) -> Comparison:
    total = Comparison()
    for each in found.values():
        total.add(each)
    return total


def show(found: Mapping[str, Comparison], alterations: int, seconds: Mapping[str, float]) -> None:
    """Print the table, and the first differences."""
    total = _total(found)
    counts = ("partitions", "hashes", "tables", "documents", "values", "excluded", "differences")
    rows: list[tuple[str, ...]] = []
    for name, each in [*found.items(), ("total", total)]:
        numbers = {**asdict(each), "differences": len(each.differences)}
        rows.append((name, *(f"{numbers[count]:,}" for count in counts)))
    console = stdout()
    console.print(table("Old and new", ("what", *counts), rows, right=counts))
    took = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    console.print(f"Time: {took}. Self-check: {alterations} of {alterations} alterations found.")
    console.print(
        f"Excluded by name, see EXCLUDED: {total.excluded:,} values, of which {total.excluded_different:,} differ. "
        f"Byte for byte the same: {total.same_bytes:,} of {total.tables + total.documents:,} files."
    )
    for difference in total.differences[:SHOWN]:
        console.print(difference, markup=False, soft_wrap=True)
    if len(total.differences) > SHOWN:
        console.print(f"… and {len(total.differences) - SHOWN:,} more differences.")


def main() -> None:
    """Make the outputs, compare and print."""
    parser = arguments("compare_versions", "Two checkouts on the same days: does any output differ?")
    parser.prog = "python -m benchmarks.compare_versions"
    parser.add_argument("--old", type=Path, required=True, help="checkout of the old code, with its .venv")
    parser.add_argument("--new", type=Path, required=True, help="checkout of the new code, with its .venv")
    parser.add_argument(
        "--work", type=Path, help="folder of the outputs; keeps the old ones (default: a temporary one)"
    )
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="of each simulated day (default: %(default)s)"
    )
    chosen = parser.parse_args()
    if chosen.messages < 1:
        parser.error("--messages: expected 1 or more")
    recordings = recordings_folder()
    if recordings is None:
        raise BenchmarkError(
            expected="the recordings",
            found="no such folder",
            where="OBP_RECORDINGS, else ../shared/data",
            remedy="Set OBP_RECORDINGS to the folder of lake/ and truth/.",
        )
    with tempfile.TemporaryDirectory() as temporary:
        work = (chosen.work or Path(temporary)).resolve()
        old, new = (
            Checkout(root.resolve(), work / name, chosen.messages, recordings / "lake")
            for name, root in (("old", chosen.old), ("new", chosen.new))
        )
        found, alterations, seconds = _measure(old, new)
        if chosen.json:
            print_json(document(old, new, found, alterations, seconds))
        else:
            show(found, alterations, seconds)
    if any(each.differences for each in found.values()):
        sys.exit(1)


def _measure(old: Checkout, new: Checkout) -> tuple[dict[str, Comparison], int, dict[str, float]]:
    seconds = {}
    start = time.monotonic()
    if not old.is_made():
        old.make()
        seconds["old"] = time.monotonic() - start
    start = time.monotonic()
    new.make()
    seconds["new"] = time.monotonic() - start
    start = time.monotonic()
    alterations = check_itself(old)
    found = compare(old, new)
    seconds["comparison"] = time.monotonic() - start
    return found, alterations, seconds


if __name__ == "__main__":
    sys.exit(run(main))
