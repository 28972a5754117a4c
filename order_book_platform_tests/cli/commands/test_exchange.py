"""`obp exchange`: addresses, a clean stop, the ledger, and wrong usage."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from websockets.asyncio.client import connect

from order_book_platform_tests.cli.conftest import run

COMMAND = [sys.executable, "-c", "from order_book_platform.cli import main; main()", "exchange"]


def served(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """A running exchange, and the addresses that it has printed."""
    process = subprocess.Popen([*COMMAND, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


async def some_messages(url: str, context: ssl.SSLContext | None) -> int:
    """Read ten messages."""
    async with connect(url, ssl=context, compression=None) as client:
        return len([await client.recv() for _ in range(10)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Every market has its port; a signal ends it in order, with the ledger written and the figures printed."""
    ledger = tmp_path / "sent.parquet"
    process, addresses = served(
        "--simulate", "usdm:BTCUSDT,ETHUSDT", "--simulate", "spot:BTCUSDT", "--tls", "--ledger", str(ledger)
    )
    try:
        assert set(addresses["markets"]) == {"usdm", "spot"}
        assert addresses["markets"]["usdm"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
        context = ssl.create_default_context(cafile=addresses["certificate"])
        url = addresses["markets"]["spot"]["websocket"] + "/ws/btcusdt@bookTicker"
        assert asyncio.run(some_messages(url, context)) == 10
    except BaseException:
        process.kill()
        process.communicate()
        raise
    process.send_signal(number)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    found = json.loads(printed)
    assert found["connections"] == 1
    assert found["ledger_rows"] == pq.read_metadata(ledger).num_rows >= 11


def test_a_duration_ends_it() -> None:
    """Without --json the addresses and the figures are lines for people."""
    result = run(["exchange", "--simulate", "coinm:BTCUSD_PERP", "--duration", "1ms"])
    assert result.exit_code == 0
    assert "ws://127.0.0.1:" in result.stdout
    assert "BTCUSD_PERP" in result.stdout
    assert "connections: 0" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to serve"),
        (["--simulate", "bybit:BTCUSDT"], "'bybit:BTCUSDT' is not usdm|coinm|spot:…."),
        (["--simulate", "usdm:"], "is not usdm|coinm|spot"),
        (["--simulate", "usdm:BTCUSDT", "--speed", "fast"], "expected a number or `unlimited`"),
        (["--simulate", "usdm:BTCUSDT", "--fault", "dorp"], "KIND one of drop"),
        (["--simulate", "usdm:BTCUSDT", "--life", "long"], "a duration such as 30s"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str) -> None:
    """Exit code 2, and what would have been right."""
    result = run(["exchange", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_a_recording_that_is_none_is_told(tmp_path: Path) -> None:
    """Exit code 1 for a file that is missing."""
    result = run(["exchange", "--recording", f"usdm:{tmp_path / 'none.gz'}"])
    assert result.exit_code == 1
    assert "expected  a file" in result.output
