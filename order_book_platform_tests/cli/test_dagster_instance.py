"""Where the Dagster instance is, and how a new one is set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.cli.dagster_instance import (
    DEFAULTS,
    dagster_instance,
    instance_folder,
    prepare_instance_folder,
)
from order_book_platform.errors import SettingsError

pytestmark = pytest.mark.usefixtures("no_home")


def test_home_wins_over_the_folder_beside_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAGSTER_HOME if set, else .dagster beside the settings file."""
    assert instance_folder(tmp_path / "platform.toml") == tmp_path / ".dagster"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert instance_folder(tmp_path / "platform.toml") == tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", "home")
    with pytest.raises(SettingsError, match="DAGSTER_HOME: expected an absolute path, found 'home'"):
        instance_folder(tmp_path / "platform.toml")


def test_new_instance_takes_the_file_beside_the_settings(tmp_path: Path) -> None:
    """A dagster.yaml beside the settings is copied; without one telemetry is off."""
    folder = prepare_instance_folder(tmp_path / "platform.toml")
    assert (folder / "dagster.yaml").read_text() == DEFAULTS
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    folder = prepare_instance_folder(tmp_path / "other" / "platform.toml")
    assert (folder / "dagster.yaml").read_text() == "telemetry:\n  enabled: false\n"


def test_existing_configuration_is_kept(tmp_path: Path) -> None:
    """What somebody configured, also by a link, is never overwritten."""
    (tmp_path / ".dagster").mkdir()
    (tmp_path / "dagster.yaml").write_text(DEFAULTS)
    (tmp_path / ".dagster" / "dagster.yaml").symlink_to("../dagster.yaml")
    folder = prepare_instance_folder(tmp_path / "platform.toml")
    assert (folder / "dagster.yaml").is_symlink()


def test_instance_opens_with_telemetry_off(tmp_path: Path) -> None:
    """The prepared folder is an instance that keeps runs and sends nothing anywhere."""
    with dagster_instance(tmp_path / "platform.toml") as instance:
        assert instance.get_runs_count() == 0
        assert instance.telemetry_enabled is False
        assert instance.is_persistent


def test_wrong_configuration_is_a_settings_error(tmp_path: Path) -> None:
    """A key Dagster does not know, and a folder that cannot be made, name the file and the remedy."""
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").write_text("telemetri:\n  enabled: false\n")
    with (
        pytest.raises(SettingsError, match=r"dagster.yaml: expected a valid Dagster instance"),
        dagster_instance(tmp_path / "platform.toml"),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="Set DAGSTER_HOME to a folder that can be written to"):
        prepare_instance_folder(tmp_path / "file" / "platform.toml")
