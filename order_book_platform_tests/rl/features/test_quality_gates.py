"""Counts over rows of features, added up table by table, and the gates they are held against."""

from __future__ import annotations

import pyarrow as pa
import pytest

from order_book_platform.datasets.rl_features import features_schema
from order_book_platform.model import Severity
from order_book_platform.rl.features.quality_gates import GATES, FeatureQuality, gate_descriptions

SCHEMA = features_schema((1, 5), 1, ())
NAN = float("nan")


def table(rows: list[dict[str, object]]) -> pa.Table:
    """Rows of features; what a row leaves out is 0, valid and known."""
    plain = {name: False if SCHEMA.field(name).type == pa.bool_() else 0 for name in SCHEMA.names}
    return pa.Table.from_pylist([{**plain, "valid": True, **row} for row in rows], schema=SCHEMA)


TABLES = [
    table([{"time": 10, "valid": False, "gap_flag": True}, {"time": 20, "ofi_1": None}, {"time": 30}]),
    table([]),
    table(
        [
            {"time": 40, "valid": False, "crossed": True},
            {"time": 50, "valid": False},
            {"time": 60, "qi_5": NAN},
        ]
    ),
]


@pytest.mark.parametrize("tables", [TABLES, [pa.concat_tables(TABLES)]], ids=["in parts", "at once"])
def test_counts_do_not_depend_on_the_parts(tables: list[pa.Table]) -> None:
    """Counts, spans of invalid rows and times are those of all rows, whatever the tables they came in."""
    quality = FeatureQuality((1, 5))
    for part in tables:
        quality.add(part)
    assert quality.to_metadata() == {
        "first_time": 10,
        "last_time": 60,
        "counts": {
            "rows": 6,
            "valid_rows": 3,
            "invalid_rows": 3,
            "invalid_spans": 2,
            "crossed_rows": 1,
            "gap_rows": 1,
            "ofi_null_rows": 1,
        },
    }
    assert quality.qi_rows == 2


def test_gates_hold_shares_against_their_bars() -> None:
    """Each gate has its share, the rows behind it and a note; all but the number of rows are warnings."""
    quality = FeatureQuality((1, 5))
    for part in TABLES:
        quality.add(part)
    gates = {gate.name: gate for gate in quality.gates(book_rows=1_000, book_time_regressions=1)}
    assert list(gates) == list(GATES)
    assert {name: (gate.value, gate.n, gate.passed) for name, gate in gates.items()} == {
        "feature_rows": (6, 1_000, True),
        "valid_share": (0.5, 6, False),
        "ofi_share": (5 / 6, 6, False),
        "qi_share": (2 / 3, 3, False),
        "time_regressions": (0.001, 1_000, True),
    }
    assert {name for name, gate in gates.items() if gate.severity is Severity.ERROR} == {"feature_rows"}
    assert gates["valid_share"].note == ("Rows with a two-sided, seeded book free of doubt; 2 spans are not.")
    assert gates["qi_share"].note == "Valid rows that know all the levels the imbalances need."


def test_a_share_of_nothing_fails() -> None:
    """Without rows there is nothing to show, and no gate holds."""
    gates = FeatureQuality((1,)).gates(book_rows=0, book_time_regressions=0)
    assert [gate.value for gate in gates] == [0, None, None, None, None]
    assert not any(gate.passed for gate in gates)


def test_descriptions_name_every_gate() -> None:
    """The checks of the UI have a sentence for each gate."""
    described = gate_descriptions()
    assert list(described) == list(GATES)
    assert described["feature_rows"] == "Number of rows of the sampling clock."
    assert described["time_regressions"] == ("Share of book rows whose origin_time lay below an earlier one.")
