"""The Dagster instance that `obp` records its runs in; the web UI on the same settings file uses it too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    import dagster as dg

INSTANCE_FOLDER = ".dagster"
INSTANCE_FILE = "dagster.yaml"
DEFAULTS = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
"""Content of `dagster.yaml` where there is none beside the settings file."""


def instance_folder(settings_file: Path) -> Path:
    """Find the instance's folder: `DAGSTER_HOME` if set, else `.dagster` beside the settings file."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return settings_file.parent / INSTANCE_FOLDER
    folder = Path(home).expanduser()
    if not folder.is_absolute():  # Dagster refuses it
        raise SettingsError(
            expected="an absolute path",
            found=repr(home),
            where="environment variable DAGSTER_HOME",
            remedy="Set it to the full path of the folder, or unset it.",
        )
    return folder


def prepare_instance_folder(settings_file: Path) -> Path:
    """Create the instance's folder; a new one gets the `dagster.yaml` beside the settings, or one without telemetry."""
    folder = instance_folder(settings_file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / INSTANCE_FILE).exists():
            template = settings_file.parent / INSTANCE_FILE
            if template.is_file():
                shutil.copyfile(template, folder / INSTANCE_FILE)
            else:
                (folder / INSTANCE_FILE).write_text(DEFAULTS, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            expected="a folder to keep Dagster's records in",
            found=str(error),
            where=str(folder),
            remedy="Set DAGSTER_HOME to a folder that can be written to.",
        ) from error
    return folder


@contextmanager
def dagster_instance(settings_file: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance for the length of the block; one that cannot be used is a `SettingsError`."""
    import dagster as dg
    import yaml
    from sqlalchemy.exc import SQLAlchemyError

    folder = prepare_instance_folder(settings_file)
    try:
        instance = dg.DagsterInstance.from_config(str(folder))
    except (dg.DagsterError, yaml.YAMLError) as error:
        raise SettingsError(
            expected="a valid Dagster instance configuration",
            found=" ".join(str(error).split()),
            where=str(folder / INSTANCE_FILE),
            remedy="Correct the file, or remove it to get a new one.",
        ) from error
    except SQLAlchemyError as error:
        raise SettingsError(
            expected="a Dagster instance that can be read",
            found=str(error).splitlines()[0],
            where=str(folder),
            remedy="Repair it, move it away to start with an empty one, or set DAGSTER_HOME.",
        ) from error
    with instance:
        yield instance
