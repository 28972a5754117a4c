"""Weighted histograms of states of a book and of a reference, and the block bootstrap of their differences.

The states are spread, best sizes and queue imbalance, weighted by the time they held. The bins of small spreads are
exact, those of larger ones and of sizes 3 % wide, so the number of bins does not depend on the instrument;
`fidelity.metrics.distributions` says what value each stands for. The bootstrap puts a resampled day together of the
real day's blocks of time, each drawn so many times. How far the difference of two distributions moves from day to day
says how exactly the real one is known.
"""

from __future__ import annotations

import math

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS

SPREAD, LOG_Q_BID, LOG_Q_ASK, QI_1, QI_5 = range(5)
STATISTICS = 5
"""The statistics: spread, log of the best bid's and of the best ask's size, queue imbalance of 1 and of 5 levels."""
NO_BID, NO_ASK = range(2)
"""Rows of the placebos: the reference without its best bid, and without its best ask."""
QUEUE_LEVELS = 5
"""Levels of each side whose sizes the deeper imbalance adds up."""

SUB_BINS = 32
"""Bins of each doubling of a spread or a size."""
SPREAD_SIDE = 1_024
"""Bins of spreads above 0 ticks, and as many of those below: the last begins at 2**36 ticks."""
SIZE_OCTAVES_BELOW, SIZE_OCTAVES = 34, 98
"""Sizes from 2**-34 pips on have bins of their own, up to 2**64: decimals of 18 places are fractions of a pip."""
QI_STEPS = 512
"""Bins of imbalances from −1 to below 1; 1 itself has one more."""

BIN_COUNTS = (
    2 * SPREAD_SIDE + 1,
    SIZE_OCTAVES * SUB_BINS,
    SIZE_OCTAVES * SUB_BINS,
    QI_STEPS + 1,
    QI_STEPS + 1,
)
"""Bins of each statistic, without the one for states that have no value, which follows them."""
STARTS = tuple(sum(BIN_COUNTS[:statistic]) + statistic for statistic in range(STATISTICS + 1))
"""Where each statistic's bins begin in a row of all of them; the last is their number."""
BINS = STARTS[-1]

_SPREAD_AT, _BID_AT, _ASK_AT, _QI_1_AT, _QI_5_AT = STARTS[:-1]
_SPREAD_NONE, _SIZE_NONE, _QI_NONE = BIN_COUNTS[SPREAD], BIN_COUNTS[LOG_Q_BID], BIN_COUNTS[QI_1]
_FRACTION_BITS = 52 - 5
_LOWEST = (1_023 - SIZE_OCTAVES_BELOW) * SUB_BINS
_HALF_STEPS = QI_STEPS // 2

_PRICES = types.Array(types.int64, 3, "A", readonly=True)
_SIZES = types.Array(types.float64, 3, "C", readonly=True)
_BITS = types.Array(types.int64, 3, "C", readonly=True)
_KNOWN = types.Array(types.uint8, 2, "A", readonly=True)
_ROW = types.Array(types.int64, 1, "A", readonly=True)
_GRID = types.int64[:, ::1]


@kernel(types.int64(types.int64))
def magnitude_bin(value):  # type: ignore[no-untyped-def]
    """Give the bin of an int64 of at least 0: a bin of its own below 64, then 32 bins to a doubling."""
    doublings = 0
    while value >= 2 * SUB_BINS:
        value >>= 1
        doublings += 1
    return doublings * SUB_BINS + value


@kernel(types.int64(types.int64, types.int64, types.float64))
def spread_bin(bid, ask, tick):  # type: ignore[no-untyped-def]
    """Give the bin of the spread of two prices in pips; the bins of a crossed book lie below that of 0."""
    if bid == MISSING_PIPS or ask == MISSING_PIPS:
        return _SPREAD_NONE
    # A quotient of floats is exact where it is a whole number, and below 2**53 pips it never rounds up to one.
    ticks = math.floor((ask - bid) / tick)
    found = min(magnitude_bin(abs(ticks)), SPREAD_SIDE)
    return SPREAD_SIDE + (found if ticks >= 0 else -found)


@kernel(types.int64(types.int64))
def size_bin(bits):  # type: ignore[no-untyped-def]
    """Give the bin of a size of at least 0 by the bits (int64) of its float64.

    The exponent of a float and the first bits of its fraction are a logarithm in steps of 1/32 of a doubling, which
    takes a shift where a real logarithm takes a call.
    """
    if bits == 0:
        return _SIZE_NONE
    return min(max((bits >> _FRACTION_BITS) - _LOWEST, 0), _SIZE_NONE - 1)


@kernel(types.int64(types.float64, types.float64))
def imbalance_bin(bids, asks):  # type: ignore[no-untyped-def]
    """Give the bin of the imbalance (bids − asks)/(bids + asks) of two float64 sizes."""
    whole = bids + asks
    if whole == 0.0:
        return _QI_NONE
    return int(((bids - asks) / whole + 1.0) * _HALF_STEPS)


@kernel(types.float64(_SIZES, types.int64, types.int64, types.int64))
def queue_size(sizes, row, side, first):  # type: ignore[no-untyped-def]
    """Add up at most `QUEUE_LEVELS` sizes of a side from level `first` on."""
    total = 0.0
    for level in range(first, min(first + QUEUE_LEVELS, sizes.shape[2])):
        total += sizes[row, side, level]
    return total


@kernel(
    types.void(
        *(types.int64, types.int64, types.int64, types.int64, types.int64),
        *(types.int64[::1], _GRID, _GRID, types.int64[::1]),
    )
)
def count_state(  # type: ignore[no-untyped-def]
    statistic, theirs, ours, weight, block, reference, excess, totals, rows
):
    """Add one state of a statistic, given by its bins of the reference and of the book, to arrays of `weigh_states`."""
    # The reference is kept for the whole day, the excess by blocks of time, which the bootstrap draws from.
    totals[block, statistic] += weight
    rows[statistic] += 1
    reference[theirs] += weight
    if ours != theirs:
        excess[block, theirs] -= weight
        excess[block, ours] += weight


@kernel(
    types.void(
        *(_PRICES, _SIZES, _BITS, _KNOWN),
        *(_PRICES, _SIZES, _BITS),
        *(types.float64, _ROW, _ROW),
        *(types.int64[::1], _GRID, _GRID, _GRID, types.int64[::1]),
    )
)
def weigh_states(  # type: ignore[no-untyped-def]
    book_price,
    book_size,
    book_bits,
    known,
    price,
    size,
    bits,
    tick,
    weights,
    blocks,
    reference,
    placebos,
    excess,
    totals,
    rows,
):
    """Add up the states of a reference and of its placebos, and the differences of a book's states from them.

    A row counts for a statistic where the book claims to know all levels that the statistic is made of (all L where
    that is fewer). Of the book only the excess is kept: nearly all its states equal the reference's and cost nothing.

    Args:
        book_price, price: int64[n, 2, K] pips of book and reference, as for `level_comparison.compare_levels`.
        book_size, size: float64[n, 2, L], sizes of their first L levels; 0 where there is no level.
        book_bits, bits: int64[n, 2, L], the memory of the sizes as int64.
        known: uint8[n, 2], levels of each side that the book claims to know.
        tick: pips, above 0.
        weights: int64[n], at least 0; states without weight are left out.
        blocks: int64[n], the block of time of each row, 0 … blocks − 1.
        reference: int64[BINS], the caller's, as all that follow; added to: weight of the reference's states.
        placebos: int64[2, BINS], added to: weight of the states of the reference without its best bid or best ask.
        excess: int64[blocks, BINS], added to: weight of the book's states less that of the reference's.
        totals: int64[blocks, STATISTICS], added to: weight of all states.
        rows: int64[STATISTICS], added to: rows that counted.
    """
    levels = size.shape[2]
    deep = min(QUEUE_LEVELS, levels)
    for r in range(weights.shape[0]):
        w, b = weights[r], blocks[r]
        if w == 0:
            continue
        # Where best prices and the first sizes are equal, every bin is, and the book's bins are not computed.
        same = book_price[r, 0, 0] == price[r, 0, 0] and book_price[r, 1, 0] == price[r, 1, 0]
        for s in range(2):
            for k in range(deep):
                same = same and book_size[r, s, k] == size[r, s, k]
        for s in range(2):
            if known[r, s] < 1:
                continue
            at = _BID_AT if s == 0 else _ASK_AT
            theirs = at + size_bin(bits[r, s, 0])
            ours = theirs if same else at + size_bin(book_bits[r, s, 0])
            count_state(LOG_Q_BID + s, theirs, ours, w, b, reference, excess, totals, rows)
            # The placebo without the best level has the second one in its place.
            if levels > 1:
                placebos[s, at + size_bin(bits[r, s, 1])] += w
        if known[r, 0] >= 1 and known[r, 1] >= 1:
            bid, ask = price[r, 0, 0], price[r, 1, 0]
            theirs = _SPREAD_AT + spread_bin(bid, ask, tick)
            ours = theirs
            if not same:
                ours = _SPREAD_AT + spread_bin(book_price[r, 0, 0], book_price[r, 1, 0], tick)
            count_state(SPREAD, theirs, ours, w, b, reference, excess, totals, rows)
            bids, asks = size[r, 0, 0], size[r, 1, 0]
            theirs = _QI_1_AT + imbalance_bin(bids, asks)
            ours = theirs
            if not same:
                ours = _QI_1_AT + imbalance_bin(book_size[r, 0, 0], book_size[r, 1, 0])
            count_state(QI_1, theirs, ours, w, b, reference, excess, totals, rows)
            if levels > 1:
                placebos[NO_BID, _SPREAD_AT + spread_bin(price[r, 0, 1], ask, tick)] += w
                placebos[NO_ASK, _SPREAD_AT + spread_bin(bid, price[r, 1, 1], tick)] += w
                placebos[NO_BID, _QI_1_AT + imbalance_bin(size[r, 0, 1], asks)] += w
                placebos[NO_ASK, _QI_1_AT + imbalance_bin(bids, size[r, 1, 1])] += w
        if known[r, 0] >= deep and known[r, 1] >= deep:
            bids, asks = queue_size(size, r, 0, 0), queue_size(size, r, 1, 0)
            theirs = _QI_5_AT + imbalance_bin(bids, asks)
            ours = theirs
            if not same:
                ours = _QI_5_AT + imbalance_bin(
                    queue_size(book_size, r, 0, 0), queue_size(book_size, r, 1, 0)
                )
            count_state(QI_5, theirs, ours, w, b, reference, excess, totals, rows)
            if levels > 1:
                placebos[NO_BID, _QI_5_AT + imbalance_bin(queue_size(size, r, 0, 1), asks)] += w
                placebos[NO_ASK, _QI_5_AT + imbalance_bin(bids, queue_size(size, r, 1, 1))] += w


DISTANCE_KS, DISTANCE_TV, DISTANCE_W1 = range(3)
"""Rows of the result: Kolmogorov-Smirnov, total variation, Wasserstein-1."""

_DRAWN = types.Array(types.int64, 2, "C", readonly=True)
_SUMS = types.Array(types.float64, 2, "C", readonly=True)
_VALUES = types.Array(types.float64, 1, "C", readonly=True)


@kernel(types.void(_DRAWN, _SUMS, _VALUES, _VALUES, _VALUES, types.float64[::1], types.float64[:, ::1]))
def resampled_distances(drawn, excess, totals, real, steps, workspace, distances):  # type: ignore[no-untyped-def]
    """Measure how far each resampled day's difference of shares lies from the real day's.

    The sums are of whole numbers, so they are the same on every machine. A matrix product of numpy takes 0.6 to 0.9 of
    the time, but leaves a thread spinning on the core that others need.

    Args:
        drawn: int64[days, blocks], how often each block was drawn.
        excess: float64[blocks, m], whole numbers: weight of the one distribution less that of the other in each bin.
        totals: float64[blocks], whole numbers: weight of all bins.
        real: float64[m], the real day's difference of shares.
        steps: float64[k], distance from each of the first k bins to the next, k at most m.
        workspace: float64[m], the caller's.
        distances: float64[3, days], the caller's, written: the largest difference of cumulative shares, half the sum of
            all differences of shares, and the area between the cumulative shares up to the k-th bin.
    """
    blocks, bins = excess.shape
    for d in range(drawn.shape[0]):
        total = 0.0
        workspace[:] = 0.0
        for b in range(blocks):
            count = drawn[d, b]
            if count == 0:
                continue
            total += count * totals[b]
            for m in range(bins):
                workspace[m] += count * excess[b, m]
        # All three distances come from one walk over the bins, since each needs the same differences of shares.
        cumulative = largest = absolute = area = 0.0
        for m in range(bins):
            difference = workspace[m] / total - real[m]
            cumulative += difference
            largest = max(largest, abs(cumulative))
            absolute += abs(difference)
            if m < steps.shape[0]:
                area += abs(cumulative) * steps[m]
        distances[DISTANCE_KS, d] = largest
        distances[DISTANCE_TV, d] = absolute / 2
        distances[DISTANCE_W1, d] = area
