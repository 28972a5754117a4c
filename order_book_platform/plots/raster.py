"""Images of few colours as PNG: the parts of a figure that have too many cells for shapes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3


def indexed_pngs(cells: NDArray[np.uint8], palettes: Sequence[Sequence[str]]) -> list[bytes]:
    """The same image in several palettes; the cells are compressed once.

    Args:
        cells: uint8[height, width], numbers of colours; 0 is transparent. The first row is the uppermost.
        palettes: colours as `#rrggbb`, from number 1 on; at most 255.
    """
    height, width = cells.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # a row begins with its filter: none
    rows[:, 1:] = cells
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    clear, end = _chunk(b"tRNS", b"\x00"), _chunk(b"IEND", b"")
    found = []
    for palette in palettes:
        colours = _chunk(b"PLTE", bytes(3) + b"".join(bytes.fromhex(colour[1:]) for colour in palette))
        found.append(_SIGNATURE + head + colours + clear + data + end)
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
