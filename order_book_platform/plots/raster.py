"""Images of few colours as PNG, for the parts of a figure that have too many cells to be drawn as shapes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3


def indexed_pngs(cells: NDArray[np.uint8], palettes: Sequence[Sequence[str]]) -> list[bytes]:
    """Encode one image in several palettes; the cells are compressed once.

    Args:
        cells: uint8[height, width], number of each cell's colour, 0 for transparent; the first row is the uppermost.
        palettes: For each image its colours as `#rrggbb`, numbered from 1; at most 255.

    Returns:
        A PNG file for each palette.

    Source:
        W3C, "Portable Network Graphics (PNG) Specification", indexed colour.
    """
    height, width = cells.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row begins with a filter type; 0 is none
    rows[:, 1:] = cells
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    clear, end = _chunk(b"tRNS", b"\x00"), _chunk(b"IEND", b"")
    images = []
    for palette in palettes:
        colours = _chunk(b"PLTE", bytes(3) + b"".join(bytes.fromhex(colour[1:]) for colour in palette))
        images.append(_SIGNATURE + head + colours + clear + data + end)
    return images


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file: length, kind, content and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
