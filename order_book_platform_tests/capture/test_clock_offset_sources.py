"""The offset of the wall clock, from chrony's text and from a server on loopback."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from order_book_platform.capture.clock_offset_sources import (
    ClockOffset,
    measure,
    parse_answer,
    parse_tracking,
)
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform_tests.manual_clock import ManualClock

TRACKING = (
    "C0A80101,ntp.example,3,1733000000.1,0.000250000,-0.0001,0.0002,-12.3,0.001,0.02,"
    "0.010000000,0.001500000,64.2,Normal"
)
NOW_NS = 1_760_000_000 * NS_PER_SECOND
SHIFT_S = 2_208_988_800


def timestamp(ns: int) -> int:
    """Time as NTP writes it."""
    seconds, rest = divmod(ns, NS_PER_SECOND)
    return (seconds + SHIFT_S) << 32 | (rest << 32) // NS_PER_SECOND


def answer(query: bytes, ahead_ns: int, stratum: int = 2) -> bytes:
    """What a server would answer whose clock is ahead of ours."""
    sent = struct.unpack("!Q", query[40:48])[0]
    there = timestamp(NOW_NS + ahead_ns)
    return struct.pack("!BBbbIIIQQQQ", 4 << 3 | 4, stratum, 0, 0, 655, 65, 0, 0, sent, there, there)


@pytest.fixture
def server() -> Iterator[tuple[str, list[int]]]:
    """A server on loopback that is ahead by the first entry of the list, ns."""
    ahead = [0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    query, address = listening.recvfrom(1024)
                except TimeoutError:
                    continue
                listening.sendto(answer(query, ahead[0]), address)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", ahead
        done.set()
        thread.join()


def test_chrony_is_read() -> None:
    """The correction is added; the error has the root dispersion and half of the root delay."""
    assert parse_tracking(TRACKING) == ClockOffset(250_000, 6_500_000, "chrony")
    assert parse_tracking(TRACKING.replace("Normal", "Not synchronised")) is None
    assert parse_tracking("") is None
    assert parse_tracking(TRACKING.replace("0.000250000", "x")) is None
    assert parse_tracking(TRACKING.replace("0.000250000", "nan")) is None


@pytest.mark.parametrize("ahead_ns", [0, 1_270_000_000, -86_400 * NS_PER_SECOND])
def test_a_server_is_asked(server: tuple[str, list[int]], ahead_ns: int) -> None:
    """The offset is that of the server, however large, within what the answer says about its error."""
    host, ahead = server
    ahead[0] = ahead_ns
    found = measure("sntp", ["127.0.0.1:9", host], ManualClock(NOW_NS).now_ns)
    assert isinstance(found, ClockOffset)
    assert found.source == f"sntp {host}"
    assert abs(found.offset_ns - ahead_ns) <= 2
    assert found.uncertainty_ns == pytest.approx((655 / 2 + 65) / 2**16 * 1e9, abs=2)


def test_answers_that_do_not_count() -> None:
    """To another question, from a server that has no time itself, or too short."""
    sent = timestamp(NOW_NS)
    query = bytes(40) + struct.pack("!Q", sent)
    assert isinstance(parse_answer(answer(query, 0), sent, NOW_NS, NOW_NS + 1000), tuple)
    assert parse_answer(answer(query, 0), sent + 1, NOW_NS, NOW_NS) == "an answer to another question"
    assert (
        parse_answer(answer(query, 0, stratum=0), sent, NOW_NS, NOW_NS)
        == "a server without a time of its own"
    )
    assert parse_answer(b"short", sent, NOW_NS, NOW_NS) == "an answer of 5 bytes"


def test_no_source_is_told() -> None:
    """Whoever looks at the capture sees why the offset is not known."""
    assert measure("none", [], lambda: 0) == "no source is configured"
    assert "127.0.0.1:9: " in str(measure("sntp", ["127.0.0.1:9"], lambda: 0))
    assert "chronyc" in str(measure("chrony", [], lambda: 0))
