"""The module that Dagster loads: the definitions of the settings file in force."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from order_book_platform.defs import build_definitions
from order_book_platform.errors import SettingsError
from order_book_platform_tests.defs.conftest import SETTINGS


def test_module_loads_the_settings_in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`order_book_platform.definitions` reads OBP_CONFIG; a wrong one is the settings' own error."""
    (tmp_path / "platform.toml").write_text(SETTINGS)
    monkeypatch.setenv("OBP_CONFIG", str(tmp_path / "platform.toml"))
    script = "from order_book_platform.definitions import defs; print(len(list(defs.assets)))"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout == "9\n"
    monkeypatch.setenv("OBP_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match=r"none\.toml: expected a settings file"):
        build_definitions()
