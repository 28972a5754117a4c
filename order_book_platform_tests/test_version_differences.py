"""Outputs of two versions: every difference is found, counted and named; what may differ is counted, too."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.version_differences import EXCLUDED, Comparison, compare_folders

NAN, INFINITY = float("nan"), float("inf")
FLOATS = pa.array([0.0, None, NAN, 1.5], pa.float64())


def compare(tmp_path: Path, name: str, old: object, new: object) -> Comparison:
    """Two folders with one file each: a column, a JSON document or a text."""
    for side, content in (("old", old), ("new", new)):
        path = tmp_path / side / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"value": content}), path)
        elif path.suffix == ".json":
            path.write_text(json.dumps(content), encoding="utf-8")
        else:
            path.write_text(str(content), encoding="utf-8")
    return compare_folders(tmp_path / "old", tmp_path / "new", "run/store")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (FLOATS, pa.array([-0.0, None, NAN, 1.5]), "column value, 1 rows, the first 0: old 0.0, new -0.0"),
        (FLOATS, pa.array([0.0, 0.0, NAN, 1.5]), "the first 1: old None, new 0.0"),
        (FLOATS, pa.array([0.0, None, INFINITY, 2.5]), "2 rows, the first 2: old nan, new inf"),
        (FLOATS, FLOATS.cast(pa.float32()), "columns: old [('value', 'double', True)]"),
        (FLOATS, FLOATS[:3], "rows: old 4, new 3"),
        (pa.array(["a", "b"]), pa.array(["b", "a"]), "2 rows, the first 0: old a, new b"),
        (pa.array([[1], [2, 3]]), pa.array([[1], [2, 4]]), "1 rows, the first 1: old [2, 3], new [2, 4]"),
    ],
)
def test_a_column_that_differs(tmp_path: Path, old: pa.Array, new: pa.Array, said: str) -> None:
    """A bit of a float, a null, a dtype, a row more and the order of rows are one difference each."""
    found = compare(tmp_path, "a/table.parquet", old, new)
    assert len(found.differences) == 1
    assert said in found.differences[0]
    assert found.same_bytes == 0


def test_equal_columns(tmp_path: Path) -> None:
    """NaN equals NaN; rows, the column's name and dtype, and the two empty parts of the footer are counted."""
    found = compare(tmp_path, "a/table.parquet", FLOATS, FLOATS)
    assert not found.differences
    assert (found.tables, found.values, found.same_bytes) == (1, 4 + 1 + 2, 1)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1.0}}, "a > b: old 1, new 1.0"),
        ({"a": [1, 2]}, {"a": [1]}, "a > 1: old 2, new no such key"),
        ({"a": []}, {"a": {}}, "a: old [], new {}"),
        ({"a": NAN, "b": True}, {"a": NAN, "b": 1}, "b: old True, new 1"),
    ],
)
def test_a_document_that_differs(tmp_path: Path, old: object, new: object, said: str) -> None:
    """Kinds of numbers, keys that are missing and kinds of what is empty count."""
    found = compare(tmp_path, "a/report.json", old, new)
    assert found.differences == [f"run/store/a/report.json: {said}"]


def test_a_line_that_differs(tmp_path: Path) -> None:
    """It is named by its number, and shown from shortly before the first different character."""
    found = compare(tmp_path, "a/report.md", "same\n" + "x" * 30 + "1", "same\n" + "x" * 30 + "2")
    assert found.differences == [
        f"run/store/a/report.md: line 2, character 31: old {'x' * 20}1, new {'x' * 20}2"
    ]


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    """On either side; hidden files are none of the outputs."""
    for side, name in (("old", "a"), ("new", "b"), ("new", ".lock")):
        (tmp_path / side).mkdir(exist_ok=True)
        (tmp_path / side / name).write_text("")
    found = compare_folders(tmp_path / "old", tmp_path / "new", "run/store")
    assert found.differences == [
        "run/store/a: old a file, new no file",
        "run/store/b: old no file, new a file",
    ]


def test_what_may_differ_is_counted(tmp_path: Path) -> None:
    """Versions and fingerprints of manifests are excluded, those of source files and metadata are not."""
    old = {
        "code_version": "1",
        "inputs": {"raw_deltas": "a", "trades/1.parquet": "b"},
        "metadata": {"replay_hash": "c"},
    }
    new = {
        "code_version": "2",
        "inputs": {"raw_deltas": "x", "trades/1.parquet": "y"},
        "metadata": {"replay_hash": "z"},
    }
    found = compare(tmp_path, "books/manifest.json", old, new)
    assert [each.split(": ")[1] for each in found.differences] == [
        "inputs > trades/1.parquet",
        "metadata > replay_hash",
    ]
    assert (found.partitions, found.hashes, found.excluded, found.excluded_different) == (1, 1, 2, 2)


def test_an_excluded_value_has_to_be_there(tmp_path: Path) -> None:
    """A key that one side lacks is a difference, whatever its value."""
    found = compare(tmp_path, "books/manifest.json", {"metadata": {}, "code_version": "1"}, {"metadata": {}})
    assert len(found.differences) == 1


def test_fingerprints_in_texts(tmp_path: Path) -> None:
    """Those of inputs may differ, as their manifests do; another hash in the same text may not."""
    for side, digit in (("old", "1"), ("new", "2")):
        (tmp_path / side).mkdir()
        manifest = {"inputs": {"raw_deltas": digit * 64}, "metadata": {}}
        (tmp_path / side / "manifest.json").write_text(json.dumps(manifest))
    found = compare(tmp_path, "report.html", f"{'1' * 64}\n{'a' * 64}", f"{'2' * 64}\n{'b' * 64}")
    assert len(found.differences) == 1
    assert "report.html: line 2" in found.differences[0]
    assert (found.excluded, found.excluded_different) == (2, 2)


def test_every_exclusion_has_a_reason() -> None:
    """In words."""
    assert all(each.reason.endswith(".") for each in EXCLUDED)


def test_pages_are_compared_by_words_and_figures(tmp_path: Path) -> None:
    """Markup may change; a word or a figure may not."""
    old = "<p class='a'>faithful <b>yes</b></p><svg><path d='M0 1'/></svg>"
    moved = "<div>\n<p>faithful</p> yes</div><svg><path d='M0 1'/></svg>"
    assert not compare(tmp_path / "a", "page.html", old, moved).differences
    assert len(compare(tmp_path / "b", "page.html", old, moved.replace("yes", "no")).differences) == 1
    assert len(compare(tmp_path / "c", "page.html", old, moved.replace("M0 1", "M0 2")).differences) == 1
