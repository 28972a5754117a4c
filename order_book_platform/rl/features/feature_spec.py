"""What is to be computed, in steps: the clock, the windows and the levels of one partition."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.rl_features import features_schema
from order_book_platform.errors import SettingsError
from order_book_platform.model import FixedPoint
from order_book_platform.settings import FeatureSettings

BLOCK_STEPS = 32_768
"""Steps computed at a time: some 15 MB of working arrays at the default settings."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Settings turned into steps.

    The inner grid has steps of at most one second, so that volatility has its 1 s clock; every `stride`-th
    step is a row.

    Attributes:
        step_ns: length of an inner step, ns; divides one second.
        stride: inner steps per row of output.
        window: length of the flow window, in inner steps.
        horizons: look-back of each return, in inner steps.
        imbalance_levels: the k of each `qi_k`.
        mlofi_levels: number of levels with an order flow.
        tick_pips: one tick in price pips.
        features: the settings all this comes from.
    """

    step_ns: int
    stride: int
    window: int
    horizons: tuple[int, ...]
    imbalance_levels: tuple[int, ...]
    mlofi_levels: int
    tick_pips: int
    features: FeatureSettings

    @classmethod
    def of(
        cls, settings: FeatureSettings, *, depth: int, cadence: str, fixed_point: FixedPoint, where: str
    ) -> FeatureSpec:
        """Plan for books of one partition.

        Args:
            settings: clock, windows, levels.
            depth: levels a side in the books.
            cadence: of the books.
            fixed_point: of the books.
            where: the partition, named in errors.

        Raises:
            SettingsError: the books have fewer levels than asked for, or a cadence that loses the order flow.
        """
        if cadence not in ("change", "message"):
            raise SettingsError(
                expected='books of cadence "change" or "message"',
                found=f'cadence "{cadence}", which leaves out the changes that order flow is made of',
                where=f"reconstruct.cadence of {where}",
                remedy='Set reconstruct.cadence = "change" and materialize reconstructed_books again.',
            )
        wanted = max(*settings.imbalance_levels, settings.mlofi_levels)
        if wanted > depth:
            raise SettingsError(
                expected=f"features of at most {depth} levels, the depth of the books",
                found=str(wanted),
                where=f"features.imbalance_levels, features.mlofi_levels of {where}",
                remedy="Ask for fewer levels, or raise reconstruct.depth and rebuild reconstructed_books.",
            )
        step_ns = min(settings.clock, NS_PER_SECOND)
        return cls(
            step_ns=step_ns,
            stride=settings.clock // step_ns,
            window=settings.flow_window // step_ns,
            horizons=tuple(horizon // step_ns for horizon in settings.horizons),
            imbalance_levels=settings.imbalance_levels,
            mlofi_levels=settings.mlofi_levels,
            tick_pips=fixed_point.tick_pips,
            features=settings,
        )

    @property
    def second(self) -> int:
        """Inner steps in a second."""
        return NS_PER_SECOND // self.step_ns

    @property
    def history(self) -> int:
        """Inner steps to be kept from before a block."""
        return max(self.window, max(self.horizons, default=0) + self.second)

    @property
    def block(self) -> int:
        """Inner steps in a block: whole rows of output."""
        return max(1, BLOCK_STEPS // self.stride) * self.stride

    @property
    def schema(self) -> pa.Schema:
        """Schema of the rows."""
        settings = self.features
        return features_schema(settings.imbalance_levels, settings.mlofi_levels, settings.horizons)

    def to_metadata(self) -> dict[str, object]:
        """What of the settings shaped the columns, for the manifest."""
        settings = self.features
        return {
            "clock_ns": settings.clock,
            "flow_window_ns": settings.flow_window,
            "horizons_ns": list(settings.horizons),
            "imbalance_levels": list(settings.imbalance_levels),
            "mlofi_levels": settings.mlofi_levels,
        }
