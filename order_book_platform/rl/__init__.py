"""The reinforcement learning part: features of the reconstructed book on a fixed clock, without look-ahead.

In: `reconstructed_books` and `trades` of one partition. Out: `rl_features` (docs/formats/rl_features.md).
"""

from order_book_platform.rl.features.feature_builder import FeatureBuilder, FeatureResult

__all__ = ["FeatureBuilder", "FeatureResult"]
