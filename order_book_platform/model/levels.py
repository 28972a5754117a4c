"""Conventions for arrays of book levels: the default depth, and how a missing level is written."""

from __future__ import annotations

DEPTH = 20
"""Visible levels a side, unless the settings say otherwise."""

MISSING_PIPS = -1
"""Price that stands in an array for a level that does not exist; such a level is null in files."""
