"""`obp capture` against a tiny exchange: what it prints, its exit codes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.storage import LogReader
from order_book_platform.storage.disk import locked_file
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys
from order_book_platform_tests.capture.tiny_exchange import TinyExchange
from order_book_platform_tests.cli.conftest import Platform, run

SETTINGS = """
lake_root = "lake"
data_root = "store"
first_day = "2024-08-08"

[capture]
clock_source = "none"
start_within = "200ms"

[[instruments]]
symbol = "BINANCE_FUTURES:BTC-USDT-PERP"
"""


@pytest.fixture
def exchange() -> Iterator[TinyExchange]:
    """A running exchange."""
    with TinyExchange().running() as running:
        yield running


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """A settings file for captures."""
    (tmp_path / "platform.toml").write_text(SETTINGS, encoding="utf-8")
    return Platform(tmp_path / "platform.toml")


def arguments(exchange: TinyExchange, *more: str) -> list[str]:
    """Arguments of a capture of the exchange."""
    return [
        "capture",
        "--market",
        "usdm",
        "--ws-url",
        exchange.ws_url,
        "--rest-url",
        exchange.rest_url,
        *more,
    ]


def rows(platform: Platform, name: str = "usdm") -> list[dict[str, Any]]:
    """Rows of a raw log."""
    folder = platform.config.parent / "captures" / name / "raw"
    return [row for batch in LogReader(folder).read() for row in batch.batch.to_pylist()]


def test_a_capture_of_a_second(exchange: TinyExchange, platform: Platform) -> None:
    """It ends by itself, prints its figures, and all it counted is in its log."""
    given = arguments(exchange, "--symbols", "btcusdt", "--duration", "1", "--name", "mine", "--seal")
    found = platform.json(*given)
    assert found["rows"] == len(rows(platform, "mine"))
    assert found["messages"] > 10
    assert found["gaps"] == found["dropped"] == 0
    assert [path.suffix for path in (platform.config.parent / "captures/mine/raw").iterdir()] == [".parquet"]
    plain = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT", "--duration", "0.2"))
    assert plain.exit_code == 0
    assert "recorded in" in plain.stdout


def test_a_users_mistakes_have_exit_codes(exchange: TinyExchange, platform: Platform) -> None:
    """A wrong symbol, market or name is wrong usage (2)."""
    wrong = platform.obp(*arguments(exchange, "--symbols", "BTCUDST"))
    assert (wrong.exit_code, "Did you mean BTCUSDT" in wrong.stderr) == (2, True)
    assert platform.obp("capture", "--market", "moon", "--symbols", "BTCUSDT").exit_code == 2
    assert platform.obp(*arguments(exchange, "--symbols", " , ")).exit_code == 2
    assert platform.obp(*arguments(exchange, "--symbols", "BTCUSDT", "--name", "../x")).exit_code == 2


def test_an_exchange_that_is_not_there(exchange: TinyExchange, platform: Platform) -> None:
    """The error names the address that does not answer, and why: that of requests, or that of websockets."""
    rest_url, exchange.rest_url = exchange.rest_url, "http://127.0.0.1:9"
    nowhere = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT"))
    assert nowhere.exit_code == 1
    assert "http://127.0.0.1:9/fapi/v1/exchangeInfo" in nowhere.stderr
    assert "no connection to 127.0.0.1:9: " in nowhere.stderr
    assert "within 0.2 s" in nowhere.stderr
    exchange.rest_url, exchange.ws_url = rest_url, "ws://127.0.0.1:9"
    deaf = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT", "--duration", "1.5"))
    assert deaf.exit_code == 1
    assert "where     ws://127.0.0.1:9\n" in deaf.stderr
    assert "expected  a connection within 1.5 s" in deaf.stderr
    assert rows(platform)


def test_a_clock_that_is_off_by_a_day(exchange: TinyExchange, platform: Platform) -> None:
    """Nothing is recorded under the date of another day, and the remedy is to set the clock."""
    exchange.server_time_ms = time.time_ns() // 10**6 + 86_400_000
    off = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT"))
    assert off.exit_code == 1
    assert "s behind\n" in off.stderr
    assert "Set the clock of this machine" in off.stderr
    assert {row["kind"] for row in rows(platform)} == {"rest"}


@pytest.mark.parametrize("wrong", ["key", "no key", "missing key file", "second process", "other market"])
def test_a_log_that_cannot_be_gone_on_with_is_left_alone(
    exchange: TinyExchange, platform: Platform, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A wrong or missing key, another writer, another market: exit code 1, a remedy, and not a byte is changed."""
    folder = platform.config.parent
    for name in ("right", "other"):
        MasterKeys.new(name).save(folder / f"{name}.json")
    monkeypatch.setenv("OBP_CAPTURE__KEY_FILE", str(folder / "right.json"))
    given = arguments(exchange, "--symbols", "BTCUSDT", "--duration", "0.5", "--name", "mine")
    assert platform.obp(*given).exit_code == 0
    log = folder / "captures/mine/raw"
    before = {path.name: path.read_bytes() for path in log.iterdir()}
    keys = load_master_keys(folder / "right.json")
    expected = {
        "key": ("LogKeyError", f"the master key {keys.active if keys else None}"),
        "no key": ("LogKeyError", "OBP_CAPTURE_KEYS"),
        "missing key file": ("LogKeyError", "obp keys new"),
        "second process": ("LogBusyError", "one writer per log"),
        "other market": ("LogSchemaError", "spot"),
    }[wrong]
    with ExitStack() as stack:
        if wrong == "key":
            monkeypatch.setenv("OBP_CAPTURE__KEY_FILE", str(folder / "other.json"))
        elif wrong == "no key":
            monkeypatch.delenv("OBP_CAPTURE__KEY_FILE")
        elif wrong == "missing key file":
            monkeypatch.setenv("OBP_CAPTURE__KEY_FILE", str(folder / "none.json"))
        elif wrong == "second process":
            stack.enter_context(locked_file(log / "writer.lock"))
        else:
            given[given.index("usdm")] = "spot"
        refused = platform.obp(*given)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert all(each in refused.stderr for each in expected)
    assert {path.name: path.read_bytes() for path in log.iterdir()} == before


@pytest.mark.parametrize("root", ["/proc/captures", "platform.toml", "n" * 300])
def test_a_root_that_cannot_be_created(
    exchange: TinyExchange, platform: Platform, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    """The error names the folder; there is no traceback."""
    monkeypatch.setenv("OBP_CAPTURE_ROOT", root)
    refused = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT"))
    assert refused.exit_code == 1
    assert "Error (StorageAccessError)" in refused.stderr
    assert root in refused.stderr
    assert "capture_root" in refused.stderr


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--ws-url", "nonsense"),
        ("--ws-url", "http://127.0.0.1:9000"),
        ("--ws-url", "ws://127.0.0.1:port"),
        ("--ws-url", "ws://"),
        ("--ws-url", "ws://[::1"),
        ("--rest-url", "127.0.0.1:9000"),
        ("--rest-url", "wss://127.0.0.1:9000"),
    ],
)
def test_an_address_that_is_none_is_refused(
    exchange: TinyExchange, platform: Platform, option: str, url: str
) -> None:
    """Nothing is recorded, and the message names the option, what it expects and what it was given."""
    result = platform.obp(*arguments(exchange, "--symbols", "BTCUSDT", "--duration", "1", option, url))
    assert result.exit_code == 2
    assert f"Invalid value for {option}: expected " in result.stderr
    assert f"found '{url}'" in result.stderr
    assert not (platform.config.parent / "captures").exists()


def running(exchange: TinyExchange, platform: Platform, *more: str) -> subprocess.Popen[str]:
    """A capture in a process of its own, with its stdout and stderr."""
    code = "import sys; from order_book_platform.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "--config", str(platform.config)]
    return subprocess.Popen(
        [*command, *arguments(exchange, "--symbols", "BTCUSDT", "--json", *more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OBP_CAPTURE__START_WITHIN": "1m"},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(exchange: TinyExchange, platform: Platform, number: int) -> None:
    """Connections are closed, the last row is on the disk, and the exit code is 0."""
    with running(exchange, platform) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        first = json.loads(process.stderr.readline())
        assert first["event"] == "status"
        process.send_signal(number)
        found = json.loads(process.stdout.read())
        assert process.wait(60) == 0
    recorded = rows(platform)
    assert found["rows"] == len(recorded)
    assert recorded[-1]["kind"] == "close"


def test_a_signal_replaces_the_connections(exchange: TinyExchange, platform: Platform) -> None:
    """SIGUSR1 opens a second connection beside the first one, which ends at a boundary that is proven."""
    with running(exchange, platform, "--duration", "5s") as process:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "status"
        process.send_signal(signal.SIGUSR1)
        process.communicate()
        assert process.returncode == 0
    kinds = [row["kind"] for row in rows(platform)]
    order = [kind for kind in kinds if kind in ("connect", "boundary", "close", "gap")]
    assert order == ["connect", "connect", "boundary", "close", "close"]


def test_help_has_an_example() -> None:
    """As every command's."""
    assert "obp capture --market usdm" in run(["capture", "--help"]).stdout
