"""Every error's message, in a table; and what all of them have in common."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest

import order_book_platform
from order_book_platform import errors
from order_book_platform.errors import OrderBookPlatformError

PACKAGE = Path(errors.__file__).parent
ARGUMENTS = {"expected", "found", "where", "remedy"}

MESSAGES: dict[str, tuple[dict[str, str], str]] = {
    "OrderBookPlatformError": (
        {"expected": "a book", "found": "none", "where": "here", "remedy": "Look elsewhere."},
        "here: expected a book, found none. Look elsewhere.",
    ),
    "SettingsError": (
        {
            "expected": "at least 1",
            "found": "0",
            "where": "/srv/platform.toml: reconstruct.depth",
            "remedy": "Correct the value; docs/settings.md lists every key.",
        },
        (
            "/srv/platform.toml: reconstruct.depth: expected at least 1, found 0. "
            "Correct the value; docs/settings.md lists every key."
        ),
    ),
    "SourceError": (
        {"expected": "a table", "found": "a picture.", "where": "1.parquet", "remedy": "Fetch it again."},
        "1.parquet: expected a table, found a picture. Fetch it again.",
    ),
    "SourceMissingError": (
        {
            "expected": "a folder dt=2024-08-08",
            "found": "dt=2024-08-09",
            "where": "lake/book_delta_v2/exchange=BINANCE/symbol=BTC-USDT",
            "remedy": "Download the day or choose another.",
        },
        (
            "lake/book_delta_v2/exchange=BINANCE/symbol=BTC-USDT: expected a folder dt=2024-08-08, "
            "found dt=2024-08-09. Download the day or choose another."
        ),
    ),
    "SourceSchemaError": (
        {"expected": "float64", "found": "string", "where": "1.parquet: price", "remedy": "Fetch it again."},
        "1.parquet: price: expected float64, found string. Fetch it again.",
    ),
    "SourceCorruptError": (
        {
            "expected": "a Parquet file",
            "found": "no magic bytes at the end",
            "where": "1.parquet",
            "remedy": "Fetch it again.",
        },
        "1.parquet: expected a Parquet file, found no magic bytes at the end. Fetch it again.",
    ),
    "SourceAccessError": (
        {
            "expected": "a folder that can be read",
            "found": "Permission denied",
            "where": "lake/book",
            "remedy": "Give this user the right to read there.",
        },
        (
            "lake/book: expected a folder that can be read, found Permission denied. "
            "Give this user the right to read there."
        ),
    ),
    "SourceEmptyError": (
        {"expected": "rows", "found": "0", "where": "1.parquet", "remedy": "Fetch it again."},
        "1.parquet: expected rows, found 0. Fetch it again.",
    ),
    "SourceValueError": (
        {
            "expected": "a price above 0",
            "found": "NaN",
            "where": "1.parquet: price, row 17",
            "remedy": "Remove the row.",
        },
        "1.parquet: price, row 17: expected a price above 0, found NaN. Remove the row.",
    ),
    "FixedPointError": (
        {"expected": "a decimal", "found": "1/3", "where": "price", "remedy": "Check the file."},
        "price: expected a decimal, found 1/3. Check the file.",
    ),
    "FixedPointRangeError": (
        {"expected": "at most 2**51", "found": "1e300", "where": "size", "remedy": "Check the file."},
        "size: expected at most 2**51, found 1e300. Check the file.",
    ),
    "DecimalRangeError": (
        {"expected": "at most 18 decimals", "found": "1e-19", "where": "size", "remedy": "Check the file."},
        "size: expected at most 18 decimals, found 1e-19. Check the file.",
    ),
    "PrecisionError": (
        {"expected": "pips", "found": "decimal128", "where": "trades", "remedy": "Scan as decimal."},
        "trades: expected pips, found decimal128. Scan as decimal.",
    ),
    "OffGridError": (
        {
            "expected": "a decimal of 8 places",
            "found": "0.1234567891",
            "where": "price, row 3",
            "remedy": "Set price_decimals to 10.",
        },
        "price, row 3: expected a decimal of 8 places, found 0.1234567891. Set price_decimals to 10.",
    ),
    "BatchError": (
        {
            "expected": "int64[3]",
            "found": "float64[3]",
            "where": "DeltaBatch.price_pips",
            "remedy": "Convert the array first.",
        },
        "DeltaBatch.price_pips: expected int64[3], found float64[3]. Convert the array first.",
    ),
    "StorageError": (
        {"expected": "one scale", "found": "two", "where": "raw_deltas", "remedy": "Scan as decimal."},
        "raw_deltas: expected one scale, found two. Scan as decimal.",
    ),
    "PartitionMissingError": (
        {
            "expected": "a published partition of raw_deltas",
            "found": "none",
            "where": "BINANCE:BTC-USDT 2024-08-08 in /srv/store",
            "remedy": "Run: obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-08",
        },
        (
            "BINANCE:BTC-USDT 2024-08-08 in /srv/store: expected a published partition of raw_deltas, "
            "found none. Run: obp materialize --symbol BINANCE:BTC-USDT --day 2024-08-08"
        ),
    ),
    "PartitionBusyError": (
        {
            "expected": "one writer per partition",
            "found": "another one at work",
            "where": "dt=2024-08-08",
            "remedy": "Wait for the other run to end, then run again.",
        },
        (
            "dt=2024-08-08: expected one writer per partition, found another one at work. "
            "Wait for the other run to end, then run again."
        ),
    ),
    "PartitionCorruptError": (
        {
            "expected": "120 bytes",
            "found": "100 bytes",
            "where": "gaps.parquet",
            "remedy": "Materialize it again.",
        },
        "gaps.parquet: expected 120 bytes, found 100 bytes. Materialize it again.",
    ),
    "LogMissingError": (
        {"expected": "at least 9 rows", "found": "7", "where": "/srv/log", "remedy": "Start from 7."},
        "/srv/log: expected at least 9 rows, found 7. Start from 7.",
    ),
    "LogBusyError": (
        {
            "expected": "one writer per log",
            "found": "another one at work",
            "where": "/srv/log",
            "remedy": "Wait for the other one to end, or choose another folder.",
        },
        (
            "/srv/log: expected one writer per log, found another one at work. "
            "Wait for the other one to end, or choose another folder."
        ),
    ),
    "LogSchemaError": (
        {
            "expected": "a: int64",
            "found": "a: double",
            "where": "/srv/log",
            "remedy": "Convert the rows first.",
        },
        "/srv/log: expected a: int64, found a: double. Convert the rows first.",
    ),
    "LogCorruptError": (
        {
            "expected": "row 12, which was on the device",
            "found": "no frame that counts",
            "where": "/srv/log/00000000000000000000.log, byte 640",
            "remedy": "Restore it from a copy, or set the log aside and begin another.",
        },
        (
            "/srv/log/00000000000000000000.log, byte 640: expected row 12, which was on the device, found no frame "
            "that counts. Restore it from a copy, or set the log aside and begin another."
        ),
    ),
    "LogKeyError": (
        {
            "expected": "the master key 1f0c2a9b",
            "found": "7be1d004 in /etc/order-book-platform/keys.json",
            "where": "/srv/log/00000000000000000000.log, byte 0",
            "remedy": "Name the key file that holds it; `obp keys list` shows which keys a file has.",
        },
        (
            "/srv/log/00000000000000000000.log, byte 0: expected the master key 1f0c2a9b, found 7be1d004 in "
            "/etc/order-book-platform/keys.json. Name the key file that holds it; `obp keys list` shows which keys a "
            "file has."
        ),
    ),
    "LogBrokenError": (
        {
            "expected": "an open log",
            "found": "one that has been closed",
            "where": "/srv/log",
            "remedy": "Open the log again: what was synced is there.",
        },
        (
            "/srv/log: expected an open log, found one that has been closed. "
            "Open the log again: what was synced is there."
        ),
    ),
    "DiskFullError": (
        {"expected": "room", "found": "0 MB free", "where": "dt=2024-08-08", "remedy": "Free space there."},
        "dt=2024-08-08: expected room, found 0 MB free. Free space there.",
    ),
    "StorageAccessError": (
        {
            "expected": "a folder that can be written",
            "found": "Permission denied",
            "where": "/srv/store",
            "remedy": "Set another data_root.",
        },
        "/srv/store: expected a folder that can be written, found Permission denied. Set another data_root.",
    ),
    "ReconstructionError": (
        {"expected": "deltas", "found": "none", "where": "raw_deltas", "remedy": "Assess the day."},
        "raw_deltas: expected deltas, found none. Assess the day.",
    ),
    "ReplayMismatchError": (
        {"expected": "ab12", "found": "cd34", "where": "replay_hash", "remedy": "Report it."},
        "replay_hash: expected ab12, found cd34. Report it.",
    ),
    "NoBookError": (
        {
            "expected": "a time after 00:00:00.5",
            "found": "00:00:00",
            "where": "--at",
            "remedy": "Ask for a later time.",
        },
        "--at: expected a time after 00:00:00.5, found 00:00:00. Ask for a later time.",
    ),
    "EvidenceError": (
        {
            "expected": "books made from deltas of another recording",
            "found": "books made from the very same raw_deltas",
            "where": "BINANCE:BTC-USDT 2024-08-08 in /srv/golden",
            "remedy": "Give the data root of an independent recording, such as a live capture.",
        },
        (
            "BINANCE:BTC-USDT 2024-08-08 in /srv/golden: expected books made from deltas of another recording, found "
            "books made from the very same raw_deltas. Give the data root of an independent recording, such as a live "
            "capture."
        ),
    ),
    "StreamError": (
        {"expected": "items", "found": "none", "where": "stage read", "remedy": "Look at the source."},
        "stage read: expected items, found none. Look at the source.",
    ),
    "StallError": (
        {
            "expected": "a step within 1m",
            "found": "none for 61.0 s",
            "where": "stage write of the stream",
            "remedy": "Look at the disk.",
        },
        "stage write of the stream: expected a step within 1m, found none for 61.0 s. Look at the disk.",
    ),
    "ExchangeError": (
        {
            "expected": "a free port",
            "found": "address already in use",
            "where": "127.0.0.1:9000 for usdm",
            "remedy": "Choose another port.",
        },
        "127.0.0.1:9000 for usdm: expected a free port, found address already in use. Choose another port.",
    ),
    "CaptureError": (
        {"expected": "a capture", "found": "none", "where": "captures/usdm", "remedy": "Start one."},
        "captures/usdm: expected a capture, found none. Start one.",
    ),
    "CaptureStartError": (
        {
            "expected": "the rules of the instruments within 30 s",
            "found": "Connect call failed ('127.0.0.1', 9)",
            "where": "/fapi/v1/exchangeInfo",
            "remedy": "Check the network, --rest-url and --ws-url.",
        },
        (
            "/fapi/v1/exchangeInfo: expected the rules of the instruments within 30 s, found Connect call failed "
            "('127.0.0.1', 9). Check the network, --rest-url and --ws-url."
        ),
    ),
    "BenchmarkError": (
        {
            "expected": "best bid and ask of [100, 101] pips",
            "found": "[100, 102]",
            "where": "lakeapi, after message 7",
            "remedy": "Find out which of the two books is right.",
        },
        (
            "lakeapi, after message 7: expected best bid and ask of [100, 101] pips, found [100, 102]. "
            "Find out which of the two books is right."
        ),
    ),
}


def families(
    base: type[OrderBookPlatformError] = OrderBookPlatformError,
) -> list[type[OrderBookPlatformError]]:
    """The base, its families and their members, as defined in errors.py."""
    found = [base]
    for family in base.__subclasses__():
        found += families(family)
    return [kind for kind in found if kind.__module__ == errors.__name__]


def test_the_table_names_every_error() -> None:
    """An error without a line in the table fails here, as does a line without its error."""
    assert sorted(MESSAGES) == sorted(kind.__name__ for kind in families())


@pytest.mark.parametrize("kind", families(), ids=lambda kind: kind.__name__)
def test_message(kind: type[OrderBookPlatformError]) -> None:
    """An error says where, what was expected, what was found and what to do, and keeps all four."""
    arguments, message = MESSAGES[kind.__name__]
    error = kind(**arguments)
    assert str(error) == message
    assert {name: getattr(error, name) for name in ARGUMENTS} == arguments


@pytest.mark.parametrize("kind", families(), ids=lambda kind: kind.__name__)
def test_survives_pickling_and_copying(kind: type[OrderBookPlatformError]) -> None:
    """Process pools and Dagster pickle exceptions: type, message and attributes come back."""
    error = kind(**MESSAGES[kind.__name__][0])
    error.add_note("on the way")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_names_and_docstrings() -> None:
    """Names end in Error, and each class says in a sentence when it is raised."""
    for kind in families():
        assert kind.__name__.endswith("Error")
        assert kind.__doc__
        assert kind.__doc__.rstrip().endswith(".") or "Attributes:" in kind.__doc__


def test_arguments_are_keywords() -> None:
    """Four strings in a row would be mixed up sooner or later."""
    with pytest.raises(TypeError):
        OrderBookPlatformError("a", "b", "c", "d")  # type: ignore[misc]


def raises(path: Path) -> list[tuple[int, str, set[str]]]:
    """Line, class and keyword names of every call that makes one of our errors in a module."""
    names = {kind.__name__ for kind in families()}
    return [
        (node.lineno, node.func.id, {word.arg for word in node.keywords if word.arg})
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_every_raise_is_complete() -> None:
    """Each place that makes an error gives expected, found, where and remedy."""
    incomplete = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, name, given in raises(path)
        if given != ARGUMENTS
    ]
    assert incomplete == []


def test_every_raise_is_complete_can_fail(tmp_path: Path) -> None:
    """The search above sees a call that lacks its remedy."""
    module = tmp_path / "careless.py"
    module.write_text("raise SettingsError(expected='a', found='b', where='c')\n", encoding="utf-8")
    assert raises(module) == [(1, "SettingsError", {"expected", "found", "where"})]


def test_base_error_is_public() -> None:
    """A caller catches everything of ours by one name from the package itself."""
    assert order_book_platform.OrderBookPlatformError is OrderBookPlatformError
