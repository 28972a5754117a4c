"""Distributions of a book's states as curves for charts: shares of time by bin, and quantiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from order_book_platform.fidelity.metrics.distributions import Distributions, positions
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.model.arrays import Float64Array, Int64Array

MOST_BINS = 60
"""Number of bins of a curve at most."""
LINEAR_TICKS = 2 * state_histograms.SUB_BINS
"""Spreads up to here have bins of a tick each; wider ones are drawn on a logarithmic axis."""
TAIL = 0.002
"""States beyond this share of time at either end are shown in the outermost bin."""
PLACEBO_TAIL = 0.05
"""The same share for the placebo, which may lie far away."""
_TWENTIETHS = tuple(round(0.05 * step, 2) for step in range(1, 20))
PROBABILITIES = (0.001, 0.005, 0.01, 0.025, *_TWENTIETHS, 0.975, 0.99, 0.995, 0.999)
"""Shares of time at which quantiles are taken."""

_SHOWN = {
    "spread": ("spread", "ticks", "symlog"),
    "log_q_bid": ("size of the best bid", "size", "log"),
    "log_q_ask": ("size of the best ask", "size", "log"),
    "qi_1": ("imbalance, best level", "(bids − asks) / both", "linear"),
    "qi_5": ("imbalance, five levels", "(bids − asks) / both", "linear"),
}
"""Words, unit and scale of each state, in the order of `kernels.fidelity.state_histograms`."""


def state_curves(distributions: Distributions, size_decimals: int) -> list[dict[str, Any]]:
    """Return the curves that `plots.fidelity_charts` draws, for report.json, of sizes with so many decimals."""
    found = []
    for statistic, (name, (words, unit, scale)) in enumerate(_SHOWN.items()):
        places = positions(statistic)
        if scale == "log":
            places = np.exp(places) / 10.0**size_decimals
        curve = dict(_curve(distributions, statistic, places))
        is_narrow = scale == "symlog" and max(map(abs, curve["edges"]), default=0.0) <= LINEAR_TICKS
        shown = {"unit": unit, "scale": "linear" if is_narrow else scale}
        spoiled = "no_ask" if name == "log_q_ask" else "no_bid"
        found.append({"name": name, "words": words, **shown, "spoiled": spoiled, **curve})
    return found


def _curve(distributions: Distributions, statistic: int, places: Float64Array) -> Iterator[tuple[str, Any]]:
    weights = distributions.weights(statistic)
    reference, book, *spoiled = (each[:-1] for each in weights)  # without those that have no value
    placebo = spoiled[1 if statistic == state_histograms.LOG_Q_ASK else 0]
    yield "probabilities", list(PROBABILITIES)
    if not reference.any() and not book.any():
        for name in ("edges", "reference", "book", "placebo"):
            yield name, []
            if name != "edges":
                yield f"{name}_quantiles", []
        return
    low, high = _shown(reference, book, placebo)
    edges = np.unique(np.linspace(low, high, min(MOST_BINS, high - low) + 1).round().astype(np.int64))
    ends = np.append(places, 2 * places[-1] - places[-2])
    yield "edges", [float(value) for value in ends[edges]]
    for name, weight in (("reference", reference), ("book", book), ("placebo", placebo)):
        yield name, _shares(weight, edges)
        yield f"{name}_quantiles", _quantiles(weight, places)


def _shown(reference: Int64Array, book: Int64Array, placebo: Int64Array) -> tuple[int, int]:
    """Return the first bin of the curve, and the one after its last."""
    bounds = []
    for weight, tail in ((reference, TAIL), (book, TAIL), (placebo, PLACEBO_TAIL)):
        whole = weight.sum()
        if whole:
            ahead = np.cumsum(weight) / whole
            bounds += [int(np.searchsorted(ahead, tail, side="right")), int(np.searchsorted(ahead, 1 - tail))]
    return min(bounds), min(max(bounds) + 1, len(reference))


def _shares(weight: Int64Array, edges: Int64Array) -> list[float]:
    """Return shares of time between edges; the outermost also hold the states beyond them. Empty without weight."""
    whole = int(weight.sum())
    if not whole:
        return []
    sums = np.add.reduceat(weight, edges[:-1])  # the last sum goes on to the end
    sums[0] += weight[: edges[0]].sum()
    return [float(share) for share in sums / whole]


def _quantiles(weight: Int64Array, places: Float64Array) -> list[float]:
    """Return the quantiles at `PROBABILITIES`, in the unit of `places`; empty without any weight."""
    whole = int(weight.sum())
    if not whole:
        return []
    bins = np.searchsorted(np.cumsum(weight), np.array(PROBABILITIES) * whole)
    return [float(place) for place in places[np.minimum(bins, len(places) - 1)]]
