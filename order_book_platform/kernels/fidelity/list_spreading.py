"""Lists that lie one after another, as arrow holds them, spread out into rows of equal length."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

_VALUES = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.void(_VALUES, _VALUES, _VALUES, types.int64, types.Array(types.int64, 2, "A")))
def spread_lists(values, ends, chosen, filler, out):  # type: ignore[no-untyped-def]
    """Write the chosen lists into rows, each from its first column on.

    Args:
        values: int64[v], of all lists.
        ends: int64[l], where each list ends, v at last; the first one begins at 0.
        chosen: int64[n], each at least 0 and below l.
        filler: what follows a list that is shorter than a row.
        out: int64[n, K], written; no chosen list is longer than K.
    """
    for i in range(chosen.shape[0]):
        last = ends[chosen[i]]
        first = ends[chosen[i] - 1] if chosen[i] > 0 else 0
        for k in range(last - first):
            out[i, k] = values[first + k]
        for k in range(last - first, out.shape[1]):
            out[i, k] = filler
