"""Hypothesis with a fifth of its examples, for `make test-quick` alone (`-p`, then `--hypothesis-profile quick`)."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=20)
