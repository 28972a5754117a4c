"""Spreading lists that lie one after another, as Arrow holds list columns, into rows of equal length."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

_VALUES = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.void(_VALUES, _VALUES, _VALUES, types.int64, types.Array(types.int64, 2, "A")))
def spread_lists(values, ends, chosen, filler, out):  # type: ignore[no-untyped-def]
    """Write the chosen lists into rows, each from its first column on.

    Args:
        values: int64[v], of all lists.
        ends: int64[l], index after the last value of each list; the first list begins at 0 and the last one ends at v.
        chosen: int64[n], indices of lists, 0 … l − 1.
        filler: int64 that fills a row behind a shorter list.
        out: int64[n, K], the caller's; written. No chosen list may be longer than K, which nothing checks.
    """
    for i in range(chosen.shape[0]):
        last = ends[chosen[i]]
        first = ends[chosen[i] - 1] if chosen[i] > 0 else 0
        for k in range(last - first):
            out[i, k] = values[first + k]
        for k in range(last - first, out.shape[1]):
            out[i, k] = filler
