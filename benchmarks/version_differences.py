"""Compares two folders of outputs value for value: Parquet tables, JSON documents, texts.

Nothing is left out but the values that `EXCLUDED` names; they are counted, too.
"""

from __future__ import annotations

import filecmp
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
FOOTER = b"order_book_platform"
"""Key of the footer's JSON object in a published Parquet file."""
ARROW_SCHEMA = b"ARROW:schema"
"""Key of pyarrow's own copy of the schema, which is compared as a schema."""

DATASETS = (
    "raw_deltas",
    "snapshots",
    "tickers",
    "trades",
    "sequence_gap_report",
    "data_assessment",
    "reconstructed_books",
    "fidelity_report",
    "rl_features",
)
"""Inputs whose fingerprint is that of a manifest; those of source files have a table and a file in their name."""
FINGERPRINT = re.compile(r"\b[0-9a-f]{64}\b")
OF_MANIFEST = "SHA-256 of an input's manifest, which holds the code version and the hashes of its files."
OF_FILE = "Follows from bytes in which the code version stands; the content is compared value for value."
OF_RUN = "Differs from run to run."
OF_MACHINE = "What the machine has free at the moment, and what follows for a run on it."


class Exclusion(NamedTuple):
    """Values that may differ between versions.

    Attributes:
        file: pattern of the path of the file.
        keys: pattern of each key on the way to the value.
        reason: why they may differ.
    """

    file: str
    keys: tuple[str, ...]
    reason: str


EXCLUDED = (
    Exclusion(f"*/{MANIFEST}", ("code_version",), "The version of the package."),
    Exclusion(f"*/{MANIFEST}", ("schema_version",), "Counts changes of columns; the columns are compared."),
    Exclusion(f"*/{MANIFEST}", ("files", "*", "sha256"), OF_FILE),
    Exclusion(f"*/{MANIFEST}", ("files", "*", "bytes"), OF_FILE),
    *(Exclusion(f"*/{MANIFEST}", ("inputs", name), OF_MANIFEST) for name in DATASETS),
    Exclusion(f"*/{MANIFEST}", ("inputs", "previous reconstructed_books"), OF_MANIFEST),
    *(Exclusion("*/fidelity_report/*/report.json", ("provenance", name), OF_MANIFEST) for name in DATASETS),
    Exclusion("*.parquet", ("footer", "code_version"), "The version of the package."),
    Exclusion("*.parquet", ("footer", "schema_version"), "Counts changes of columns; they are compared."),
    Exclusion("*/commands/*-materialize.json", ("stdout", "run_id"), OF_RUN),
    Exclusion("*/commands/*-materialize.json", ("stdout", "assets", "*", "seconds"), OF_RUN),
    Exclusion("*/commands/*-materialize.json", ("stdout", "assets", "*", "fingerprint"), OF_MANIFEST),
    Exclusion("*/commands/*-assess.json", ("stdout", "*", "here", "machine", "*"), OF_MACHINE),
    *(
        Exclusion("*/commands/*-assess.json", ("stdout", "*", "here", name), OF_MACHINE)
        for name in ("parallel_runs", "hours", "cpu_hours", "peak_bytes")
    ),
)
"""Everything that is not compared. In texts, the fingerprints of inputs that the manifest beside them holds."""


@dataclass
class Comparison:
    """What was compared, and what differs.

    Attributes:
        partitions: published partitions, by their manifests.
        tables: Parquet files.
        documents: JSON documents and texts.
        values: of tables (a null is one), of documents (a leaf is one, as is a line of text), and names and dtypes
            of columns.
        excluded: values that `EXCLUDED` names.
        excluded_different: those of them that do differ.
        same_bytes: files that are the same in every byte.
        hashes: `replay_hash` of manifests.
        differences: path, place and both values, in words.
    """

    partitions: int = 0
    tables: int = 0
    documents: int = 0
    values: int = 0
    excluded: int = 0
    excluded_different: int = 0
    same_bytes: int = 0
    hashes: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: Comparison) -> None:
        """Take in another comparison."""
        for name in Comparison.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def differs(self, where: str, old: object, new: object) -> None:
        """Note a difference."""
        self.differences.append(f"{where}: old {_shown(old)}, new {_shown(new)}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def compare_folders(old: Path, new: Path, within: str = "") -> Comparison:
    """Compare every file below two folders, hidden ones apart.

    Args:
        old: the one.
        new: the other.
        within: what the folder is called in differences and for the patterns of `EXCLUDED`.
    """
    found = Comparison()
    files = [{_name(path, folder): path for path in _files(folder)} for folder in (old, new)]
    for name in sorted(files[0].keys() | files[1].keys()):
        sides = [side.get(name) for side in files]
        where = f"{within}/{name}"
        if sides[0] is None or sides[1] is None:
            found.differs(where, *("a file" if side else "no file" for side in sides))
        else:
            _compare_files(found, where, sides[0], sides[1])
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _compare_files(found: Comparison, where: str, old: Path, new: Path) -> None:
    # Even then it is compared value for value, so that the values are counted.
    found.same_bytes += filecmp.cmp(old, new, shallow=False)
    if old.suffix == ".parquet":
        found.tables += 1
        _compare_tables(found, where, old, new)
    elif old.suffix == ".json":
        found.documents += 1
        documents = [json.loads(path.read_bytes()) for path in (old, new)]
        if old.name == MANIFEST:
            found.partitions += 1
            found.hashes += "replay_hash" in documents[0]["metadata"]
        _compare_documents(found, where, *documents)
    else:
        found.documents += 1
        _compare_texts(found, where, old, new)


# --- JSON -----------------------------------------------------------------------------------------------------------


def _leaves(value: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys and value of every leaf; the value as text that tells 1 from 1.0 and from true. Empty ones are leaves."""
    children: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        children = [(str(name), each) for name, each in value.items()]
    elif isinstance(value, list):
        children = [(str(place), each) for place, each in enumerate(value)]
    for name, each in children:
        yield from _leaves(each, (*keys, name))
    if not children:
        yield keys, repr(value)


def _compare_documents(found: Comparison, where: str, old: object, new: object) -> None:
    sides = [dict(_leaves(document)) for document in (old, new)]
    for keys in sorted(sides[0].keys() | sides[1].keys()):
        values = [side.get(keys, "no such key") for side in sides]
        # An excluded value that one side lacks altogether is a difference.
        if all(keys in side for side in sides) and _is_excluded(where, keys):
            found.excluded += 1
            found.excluded_different += values[0] != values[1]
            continue
        found.values += 1
        if values[0] != values[1]:
            found.differs(f"{where}: {' > '.join(keys)}", *values)


def _is_excluded(where: str, keys: tuple[str, ...]) -> bool:
    return any(
        len(keys) == len(each.keys)
        and fnmatchcase(where, each.file)
        and all(fnmatchcase(key, pattern) for key, pattern in zip(keys, each.keys, strict=True))
        for each in EXCLUDED
    )


# --- texts ----------------------------------------------------------------------------------------------------------


def _compare_texts(found: Comparison, where: str, old: Path, new: Path) -> None:
    texts, fingerprints = zip(*(_without_fingerprints(path) for path in (old, new)), strict=True)
    found.excluded += len(fingerprints[0])
    found.excluded_different += sum(a != b for a, b in zip(*fingerprints, strict=False))
    lines = [text.splitlines() for text in texts]
    found.values += max(map(len, lines))
    if len(lines[0]) != len(lines[1]):
        found.differs(f"{where}: lines", *map(len, lines))
    for number, (a, b) in enumerate(zip(*lines, strict=False), 1):
        if a != b:
            equal = next((at for at, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), 0)
            start = max(equal - 20, 0)
            found.differs(f"{where}: line {number}, character {equal + 1}", a[start:], b[start:])


def _without_fingerprints(path: Path) -> tuple[str, list[str]]:
    """A report with the names of inputs in place of their fingerprints, and these; the manifest beside it has both."""
    manifest = path.with_name(MANIFEST)
    inputs = json.loads(manifest.read_bytes())["inputs"] if manifest.is_file() else {}
    names = {fingerprint: name for name, fingerprint in inputs.items() if name in DATASETS}
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = _words_and_figures(text)
    replaced = [each for each in FINGERPRINT.findall(text) if each in names]
    return FINGERPRINT.sub(lambda each: names.get(each[0], each[0]), text), replaced


def _words_and_figures(page: str) -> str:
    """Return the figures of a page as they are drawn, and its words, a line each, without the markup around them."""
    figures = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    outside = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", page, flags=re.DOTALL)
    words = unescape(re.sub(r"<[^>]*>", " ", outside)).split()
    return "\n".join([*figures, *words])


# --- Parquet --------------------------------------------------------------------------------------------------------


def _compare_tables(found: Comparison, where: str, old: Path, new: Path) -> None:
    with pq.ParquetFile(old) as one, pq.ParquetFile(new) as other:
        footers = [_footer(file.metadata.metadata or {}) for file in (one, other)]
        tables = [file.read() for file in (one, other)]
    _compare_documents(found, where, *footers)
    schemas = [[(each.name, str(each.type), each.nullable) for each in table.schema] for table in tables]
    found.values += len(schemas[0])
    if schemas[0] != schemas[1]:
        lacking = [Counter(schemas[side]) - Counter(schemas[1 - side]) for side in (0, 1)]
        found.differs(f"{where}: columns", *(list(each) or "the same in another order" for each in lacking))
        return
    if tables[0].num_rows != tables[1].num_rows:
        found.differs(f"{where}: rows", *(table.num_rows for table in tables))
        return
    for name, one, other in zip(tables[0].column_names, *(table.columns for table in tables), strict=True):
        found.values += len(one)
        rows = _different_rows(one, other)
        if len(rows):
            pair = (each[int(rows[0])].as_py() for each in (one, other))
            found.differs(f"{where}: column {name}, {len(rows):,} rows, the first {rows[0]:,}", *pair)


def _footer(metadata: Mapping[bytes, bytes]) -> dict[str, object]:
    """The key-value pairs at a Parquet file's end; the platform's own ones as the object that they are."""
    named = {
        key.decode(): value.decode() for key, value in metadata.items() if key not in {FOOTER, ARROW_SCHEMA}
    }
    return {"others": named, "footer": json.loads(metadata.get(FOOTER, b"{}"))}


def _different_rows(old: pa.ChunkedArray, new: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Rows in which two columns of one dtype differ: null or not, and every bit of a float."""
    if old.type in {pa.float32(), pa.float64()}:
        kind = np.int32 if old.type == pa.float32() else np.int64
        null = [each.is_null().to_numpy() for each in (old, new)]
        bits = [pc.fill_null(each, 0.0).to_numpy().view(kind) for each in (old, new)]
        return np.flatnonzero((null[0] != null[1]) | (bits[0] != bits[1]))
    if old.equals(new):
        return np.empty(0, np.int64)
    pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
    return np.array([row for row, (one, other) in enumerate(pairs) if one != other], np.int64)
