"""The ledger: in memory, as Parquet and as NDJSON, however many rows there are."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from order_book_platform.exchange import SentLedger
from order_book_platform.exchange.sent_ledger import BATCHES_PER_WRITE, LEDGER_SCHEMA, ROWS_PER_BATCH

MANY = ROWS_PER_BATCH * (BATCHES_PER_WRITE + 1) + 3


def filled(ledger: SentLedger, rows: int) -> SentLedger:
    """A ledger with messages and one response."""
    for number in range(rows - 1):
        ledger.message(number, 1, "btcusdt@depth", (number, number, number - 1))
    ledger.note(rows, 0, "rest", "/fapi/v1/depth", "slow_snapshot", 200, 20, 5)
    ledger.most_weight = {"futures": 20}
    return ledger


@pytest.mark.parametrize("rows", [1, 2, MANY])
@pytest.mark.parametrize("name", ["sent.parquet", "sent.ndjson"])
def test_a_file_has_what_memory_has(tmp_path: Path, rows: int, name: str) -> None:
    """Every row is in the file, in order, and the greatest weight beside them."""
    memory = filled(SentLedger(), rows)
    ledger = filled(SentLedger(tmp_path / name), rows)
    ledger.close()
    assert ledger.rows == memory.rows == memory.table().num_rows == rows
    if name.endswith("parquet"):
        found = pq.read_table(tmp_path / name)
        assert json.loads(pq.read_metadata(tmp_path / name).metadata[b"most_weight"]) == {"futures": 20}
        assert found.schema.names == LEDGER_SCHEMA.names
        assert found.to_pylist() == memory.table().to_pylist()
    else:
        lines = [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        assert lines.pop() == {"kind": "summary", "most_weight": {"futures": 20}}
        assert lines == memory.table().to_pylist()


def test_an_empty_ledger_is_a_file(tmp_path: Path) -> None:
    """Where nothing was sent there is a file that says so."""
    SentLedger(tmp_path / "sent.parquet").close()
    assert pq.read_table(tmp_path / "sent.parquet").num_rows == 0


def test_rows_say_what_they_are() -> None:
    """A message has ids, a response its status and the weight of its minute."""
    message, response = filled(SentLedger(), 2).table().to_pylist()
    assert (message["kind"], message["fate"], message["fault"], message["status"]) == (
        "message",
        "sent",
        None,
        None,
    )
    assert (response["status"], response["weight"], response["final_update_id"]) == (200, 20, 5)
