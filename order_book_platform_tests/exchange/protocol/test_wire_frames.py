"""Frames of a server, read by a library's client."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from order_book_platform.exchange.protocol.wire_frames import BINARY, PING, PONG, TEXT, frame


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_data_frames_are_understood(opcode: int, length: int) -> None:
    """Each form of a length is read as it was written."""
    assert received(frame(b"x" * length, opcode)) == [Frame(Opcode(opcode), b"x" * length)]


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_are_understood(opcode: int) -> None:
    """Pings and pongs carry their payload."""
    assert received(frame(b"17", opcode)) == [Frame(Opcode(opcode), b"17")]


def received(data: bytes) -> list[object]:
    """The events that a client sees in bytes of an open connection."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    return list(client.events_received())
