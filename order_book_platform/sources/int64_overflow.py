"""Counts the values that keep a day from int64 pips, at the number of decimals at which they are fewest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.model.arrays import Float64Array
from order_book_platform.model.fixed_point import MAX_DECIMALS, beyond_pips


@dataclass(slots=True)
class Int64Overflow:
    """Prices, or sizes, that int64 pips cannot hold, for each number of decimals that pips may have.

    One stray digit among small values and one huge value among fine ones are each one value at the right number of
    decimals, and nearly all values at others. Which number is right is known at the end only, so all are counted.

    Attributes:
        counts: Number of such values by decimals, 0 to 18.
        firsts: Place and value of the first of them, by decimals.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (MAX_DECIMALS + 1))
    firsts: list[str] = field(default_factory=lambda: [""] * (MAX_DECIMALS + 1))

    def add(self, values: Float64Array, place: Callable[[int], str]) -> None:
        """Count more values.

        Args:
            values: float64[n], finite and not negative.
            place: Says where the value at an index is from.
        """
        distinct = pc.value_counts(pa.array(values))
        floats, times = (distinct.field(name).to_numpy() for name in ("values", "counts"))
        for decimals in range(MAX_DECIMALS + 1):
            count = int(times[beyond_pips(floats, decimals)].sum())
            if count and not self.counts[decimals]:
                at = int(beyond_pips(values, decimals).argmax())
                self.firsts[decimals] = f"{place(at)}: {float(values[at])!r}"
            self.counts[decimals] += count

    @property
    def fewest(self) -> tuple[int, str]:
        """Smallest count over all numbers of decimals, and the first of these values; empty if there is none."""
        decimals = int(np.argmin(self.counts))
        return self.counts[decimals], self.firsts[decimals]
