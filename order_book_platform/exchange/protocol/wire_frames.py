"""Websocket frames that a server sends, as bytes (RFC 6455, section 5.2: not masked, not fragmented).

A frame of a data message is made once and written to every connection that gets it. A library's `send` makes it anew
for each, which takes 3 to 7 µs; joining ready frames and writing them at once takes 0.5 µs a message (docs/adr/0024).
"""

from __future__ import annotations

import struct

TEXT, BINARY, PING, PONG = 0x1, 0x2, 0x9, 0xA
"""Opcodes of RFC 6455 that are sent as ready frames; a close has a handshake, which the shell does."""
RESERVED = 0x3
"""An opcode that means nothing: whoever receives it has to fail the connection."""

_FINAL = 0x80
_SHORT = struct.Struct("!BB")
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Give the bytes of one unfragmented frame from a server.

    Args:
        payload: the message; of a text frame in UTF-8.
        opcode: one of TEXT, BINARY, PING, PONG; RESERVED for a frame that is wrong on purpose.
    """
    length = len(payload)
    if length < 126:
        return _SHORT.pack(_FINAL | opcode, length) + payload
    if length < 65_536:
        return _MEDIUM.pack(_FINAL | opcode, 126, length) + payload
    return _LONG.pack(_FINAL | opcode, 127, length) + payload
