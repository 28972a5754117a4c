"""Arrays that travel between rooms: their types, and the conventions for arrays of book levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
UInt8Array = NDArray[np.uint8]
Float64Array = NDArray[np.float64]

DEPTH = 20
"""Visible levels a side, unless the settings say otherwise."""

MISSING_PIPS = -1
"""Price that stands in an array for a level that does not exist; such a level is null in files."""
