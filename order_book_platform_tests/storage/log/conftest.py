"""Fixtures of the tests of logs."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def no_waiting_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that try thousands of damages: nothing loses power in them, and each flush takes milliseconds."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
