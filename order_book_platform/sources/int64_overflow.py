"""How many values keep a day from int64 pips: those beyond pips of the decimals at which such values are fewest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.model.fixed_point import MAX_DECIMALS, beyond_pips


@dataclass(slots=True)
class Int64Overflow:
    """Prices, or sizes, that int64 pips cannot hold, for each number of decimals that pips may have.

    One stray digit among small values and one huge value among fine ones are each one value at the right decimals, and
    nearly all of them at others; so none are picked beforehand.

    Attributes:
        counts: by decimals, 0 to 18.
        firsts: where the first of them was, and what.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (MAX_DECIMALS + 1))
    firsts: list[str] = field(default_factory=lambda: [""] * (MAX_DECIMALS + 1))

    def add(self, values: NDArray[np.float64], place: Callable[[int], str]) -> None:
        """Count more of them.

        Args:
            values: float64[n], finite and not negative.
            place: where the value at an index is from.
        """
        different = pc.value_counts(pa.array(values))
        floats, times = (different.field(name).to_numpy() for name in ("values", "counts"))
        for decimals in range(MAX_DECIMALS + 1):
            count = int(times[beyond_pips(floats, decimals)].sum())
            if count and not self.counts[decimals]:
                at = int(beyond_pips(values, decimals).argmax())
                self.firsts[decimals] = f"{place(at)}: {float(values[at])!r}"
            self.counts[decimals] += count

    @property
    def fewest(self) -> tuple[int, str]:
        """How many at the decimals at which they are fewest, and the first of these; empty if there is none."""
        decimals = int(np.argmin(self.counts))
        return self.counts[decimals], self.firsts[decimals]
