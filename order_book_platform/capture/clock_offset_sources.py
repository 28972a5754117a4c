"""How far the wall clock is from true time: from chrony where it runs, else by SNTP (RFC 4330)."""

from __future__ import annotations

import math
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from order_book_platform.clock import NS_PER_SECOND

ClockSource = Literal["auto", "chrony", "sntp", "none"]
QUERIES = 4
"""Queries of one measurement, of which the one with the shortest way counts."""
TIMEOUT_S = 2.0
_EPOCH_SHIFT_S = 2_208_988_800
"""Seconds from 1900, where NTP begins to count, to 1970."""
_PACKET = struct.Struct("!BBbbIIIQQQQ")
_CLIENT, _SERVER = 3, 4
_TRACKING_FIELDS = 14


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """One measurement of the wall clock.

    Attributes:
        offset_ns: to be added to the wall clock to have true time, ns.
        uncertainty_ns: greatest error of the offset, ns.
        source: `chrony`, or `sntp` and the host.
    """

    offset_ns: int
    uncertainty_ns: int
    source: str


def measure(source: ClockSource, servers: Sequence[str], now_ns: Callable[[], int]) -> ClockOffset | str:
    """Measure the offset of the wall clock; takes some seconds at most.

    Args:
        source: where to take it from; `auto` takes chrony where it runs, else SNTP.
        servers: hosts, each with an optional `:port`, in order of preference.
        now_ns: wall clock, ns since the epoch.

    Returns:
        The offset, or why there is none.
    """
    reasons = []
    if source in ("auto", "chrony"):
        found = _from_chrony()
        if isinstance(found, ClockOffset):
            return found
        reasons.append(found)
    if source in ("auto", "sntp"):
        for server in servers:
            found = _from_server(server, now_ns)
            if isinstance(found, ClockOffset):
                return found
            reasons.append(f"{server}: {found}")
    return "; ".join(reasons) or "no source is configured"


def parse_tracking(text: str) -> ClockOffset | None:
    """Read the output of `chronyc -c tracking`; None if chrony has no reference.

    The fifth field is the correction that is still to be added to the clock: positive for a clock that is slow. The
    error is at most the root dispersion and half of the root delay.
    """
    fields = text.strip().split(",")
    if len(fields) < _TRACKING_FIELDS or fields[-1] == "Not synchronised":
        return None
    try:
        correction_s, delay_s, dispersion_s = (float(fields[at]) for at in (4, 10, 11))
    except ValueError:
        return None
    uncertainty_s = abs(dispersion_s) + abs(delay_s) / 2
    if not math.isfinite(correction_s + uncertainty_s):
        return None
    return ClockOffset(round(correction_s * NS_PER_SECOND), round(uncertainty_s * NS_PER_SECOND), "chrony")


def parse_answer(packet: bytes, sent: int, sent_ns: int, received_ns: int) -> tuple[int, int] | str:
    """Read the answer of an SNTP server.

    Args:
        packet: the answer.
        sent: transmit timestamp of the query, which the answer has to repeat.
        sent_ns: wall clock when the query was sent, ns since the epoch.
        received_ns: wall clock when the answer had arrived.

    Returns:
        Offset and uncertainty, ns; or why the answer does not count.
    """
    if len(packet) < _PACKET.size:
        return f"an answer of {len(packet)} bytes"
    head, stratum, _, _, delay, dispersion, _, _, origin, receive, transmit = _PACKET.unpack(
        packet[: _PACKET.size]
    )
    if head & 7 != _SERVER or origin != sent:
        return "an answer to another question"
    if head >> 6 == 3 or not 1 <= stratum <= 15 or transmit == 0:
        return "a server without a time of its own"
    there_ns, back_ns = _unix_ns(receive, received_ns), _unix_ns(transmit, received_ns)
    offset_ns = ((there_ns - sent_ns) + (back_ns - received_ns)) // 2
    round_trip_ns = max(0, (received_ns - sent_ns) - (back_ns - there_ns))
    root_ns = (delay / 2 + dispersion) * NS_PER_SECOND / 2**16
    return offset_ns, round(round_trip_ns / 2 + root_ns)


def _from_chrony() -> ClockOffset | str:
    program = shutil.which("chronyc")
    if program is None:
        return "chronyc is not installed"
    try:
        done = subprocess.run(
            [program, "-c", "tracking"], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"chronyc: {error}"
    found = parse_tracking(done.stdout) if done.returncode == 0 else None
    return found or f"chronyc: {done.stdout.strip() or done.stderr.strip() or 'no answer'}"


def _from_server(server: str, now_ns: Callable[[], int]) -> ClockOffset | str:
    host, _, port = server.partition(":")
    answers: list[tuple[int, int]] = []
    reason = "no answer"
    for _ in range(QUERIES):
        try:
            found = _ask(host, int(port or 123), now_ns)
        except (OSError, ValueError) as error:
            reason = str(error)
            break
        if isinstance(found, str):
            reason = found
        else:
            answers.append(found)
    if not answers:
        return reason
    offset_ns, uncertainty_ns = min(answers, key=lambda each: each[1])
    return ClockOffset(offset_ns, uncertainty_ns, f"sntp {server}")


def _ask(host: str, port: int, now_ns: Callable[[], int]) -> tuple[int, int] | str:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(address)
        sent_ns = now_ns()
        sent = _ntp(sent_ns)
        connection.send(_PACKET.pack(4 << 3 | _CLIENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, sent))
        return parse_answer(connection.recv(1024), sent, sent_ns, now_ns())


def _ntp(ns: int) -> int:
    """Convert ns since 1970 to an NTP timestamp: 32 bits of seconds, which wrap around, and 32 of the fraction."""
    seconds, rest = divmod(ns, NS_PER_SECOND)
    return ((seconds + _EPOCH_SHIFT_S) % 2**32) << 32 | (rest << 32) // NS_PER_SECOND


def _unix_ns(timestamp: int, near_ns: int) -> int:
    """Convert an NTP timestamp to ns since 1970, in the era that is nearest to a time."""
    seconds, fraction = timestamp >> 32, timestamp & 0xFFFFFFFF
    wanted = near_ns // NS_PER_SECOND + _EPOCH_SHIFT_S
    seconds += round((wanted - seconds) / 2**32) * 2**32
    return (seconds - _EPOCH_SHIFT_S) * NS_PER_SECOND + (fraction * NS_PER_SECOND >> 32)
