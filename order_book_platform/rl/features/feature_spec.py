"""The features of one partition as they are computed: clock and windows in steps of the time grid, and levels."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.frame_schemas import features_schema
from order_book_platform.errors import SettingsError
from order_book_platform.model import FixedPoint
from order_book_platform.settings import FeatureSettings

BLOCK_STEPS = 32_768
"""Inner steps computed at a time: some 15 MB of working arrays at the default settings."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """The settings of features, with durations turned into steps of the time grid.

    The grid has inner steps of at most one second, so that volatility has its clock of 1 s; every `stride`-th inner
    step is a row of the output.

    Attributes:
        step_ns: Length of an inner step, ns; divides one second.
        stride: Inner steps per row of output.
        window: Length of the flow window, in inner steps.
        horizons: Look-back of each return, in inner steps.
        tick_pips: One tick, in price pips.
        features: Settings that all of this comes from.
    """

    step_ns: int
    stride: int
    window: int
    horizons: tuple[int, ...]
    tick_pips: int
    features: FeatureSettings

    @classmethod
    def of(
        cls, settings: FeatureSettings, *, depth: int, cadence: str, fixed_point: FixedPoint, where: str
    ) -> FeatureSpec:
        """Make the specification for the books of the partition `where`, of a depth (levels a side) and a cadence.

        Raises:
            SettingsError: The books have fewer levels than asked for, or a cadence that loses the order flow.
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
            tick_pips=fixed_point.tick_pips,
            features=settings,
        )

    @property
    def second(self) -> int:
        """Number of inner steps in a second."""
        return NS_PER_SECOND // self.step_ns

    @property
    def history(self) -> int:
        """Number of inner steps before a block that its windows reach into."""
        return max(self.window, max(self.horizons, default=0) + self.second)

    @property
    def block(self) -> int:
        """Number of inner steps in a block; a whole number of output rows."""
        return max(1, BLOCK_STEPS // self.stride) * self.stride

    @property
    def schema(self) -> pa.Schema:
        """Schema of the output rows."""
        settings = self.features
        return features_schema(settings.imbalance_levels, settings.mlofi_levels, settings.horizons)

    def to_metadata(self) -> dict[str, object]:
        """Give the settings that shaped the columns, for the manifest."""
        settings = self.features
        return {
            "clock_ns": settings.clock,
            "flow_window_ns": settings.flow_window,
            "horizons_ns": list(settings.horizons),
            "imbalance_levels": list(settings.imbalance_levels),
            "mlofi_levels": settings.mlofi_levels,
        }
