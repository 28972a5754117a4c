"""`obp doctor` checks that everything is there that the platform needs; each check gives a finding."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rich.text import Text

from order_book_platform.cli.capture_checks import check_captures
from order_book_platform.cli.doctor_finding import Finding, age_text, check_writable, existing, is_writable
from order_book_platform.cli.options import Invocation, json_option
from order_book_platform.cli.output import print_json, stdout, table
from order_book_platform.clock import Clock, iso_from_ns
from order_book_platform.errors import SettingsError, SourceAccessError

if TYPE_CHECKING:
    from order_book_platform.settings import Settings

DISTRIBUTION = "order-book-platform"
LIBRARIES = ("dagster", "dagster-webserver", "numba", "numpy", "polars", "pyarrow")
TABLES = ("book_delta_v2", "book", "trades")
INSTALL = "Install the packages of requirements.lock."
LOW_DISK_BYTES = 20 * 10**9
"""Free space below which a month of one liquid market may not fit: 574 MB of deltas a day, and their books."""
NO_DISK_BYTES = 10**9
"""Free space below which not even a few days fit."""


@click.command(short_help="Check installation, settings and data.")
@json_option
@click.pass_obj
def doctor(invocation: Invocation, as_json: bool) -> bool:
    """Check the installation, the settings, the folders, the Dagster instance and the clock. Changes nothing.

    Names what runs that died have left beside partitions, with its size and age: unfinished ones with the command
    that goes on from their last checkpoint, others with the one that removes them.

    Of captures it tells whether they are encrypted and being recorded, the age of the last row, and how many days the
    disk lasts at their measured rate.

    Exits 1 if a check fails; a warning says what to look at and does not count.

    \b
    Example:
      obp --config platform.toml doctor
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    findings = examine(invocation)
    passed = all(finding.status != "fail" for finding in findings)
    if as_json:
        print_json({"passed": passed, "checks": [asdict(finding) for finding in findings]})
    else:
        styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
        rows = (
            (Text(each.status, styles[each.status]), each.check, each.found, each.remedy) for each in findings
        )
        stdout().print(table("obp doctor", ("", "check", "found", "what to do"), rows))
    return passed


def examine(invocation: Invocation, clock: Clock | None = None) -> list[Finding]:
    """Run every check; without valid settings only those that need none. The clock is by default the machine's."""
    clock = clock or Clock()
    findings = [check_python(), *check_libraries(), check_compiled_loops()]
    try:
        settings = invocation.settings()
    except SettingsError as error:
        problem = f"{error.where}: expected {error.expected}, found {error.found}"
        return [*findings, Finding("settings", "fail", problem, error.remedy)]
    return [
        *findings,
        Finding("settings", "ok", f"{invocation.settings_file}: {len(settings.instruments)} instruments"),
        check_writable("data root", settings.data_root),
        check_disk(settings.data_root),
        *check_unfinished_work(settings.data_root, clock),
        *check_captures(settings, clock),
        *check_lake(settings),
        check_instance(invocation.settings_file),
        check_clock(settings, clock),
    ]


def check_python() -> Finding:
    """Check that this package is made for this version of Python."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    wanted = SpecifierSet(_distribution_metadata().get("Requires-Python", ""))
    if wanted.contains(platform.python_version(), prereleases=True):
        return Finding("python", "ok", found)
    return Finding("python", "fail", f"{found}; needed {wanted}", "Use such a Python: make setup finds one.")


def check_libraries() -> Iterator[Finding]:
    """Check that the libraries are installed in versions that this package accepts."""
    wanted = {
        canonicalize_name(requirement.name): requirement.specifier
        for requirement in map(Requirement, _distribution_metadata().get_all("Requires-Dist") or ())
    }
    for name in LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, "fail", "not installed", INSTALL)
            continue
        specifier = wanted.get(canonicalize_name(name))
        if specifier is not None and not specifier.contains(version, prereleases=True):
            yield Finding(name, "fail", f"{version}, needed {specifier}", INSTALL)
        else:
            yield Finding(name, "ok", version)


def check_compiled_loops() -> Finding:
    """Check that compiled loops can be kept; otherwise every process compiles them again."""
    name = "compiled loops"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        found = "NUMBA_DISABLE_JIT is set: loops run as plain Python"
        return Finding(name, "warn", found, "Unset it for real work.")
    from order_book_platform.kernels.compiled import own_folder

    folder = own_folder()
    if is_writable(folder):
        return Finding(name, "ok", f"kept in {folder}")
    found = f"cannot write to {folder}: loops that it lacks are compiled again in every process"
    return Finding(name, "warn", found, "Set NUMBA_CACHE_DIR to a folder that can be written to.")


def check_disk(folder: Path) -> Finding:
    """Check that there is disk space for datasets."""
    free = shutil.disk_usage(existing(folder)).free
    found = f"{free / 1e9:,.1f} GB free at {folder}"
    if free < NO_DISK_BYTES:
        return Finding("disk", "fail", found, "Free space, or set data_root to a larger disk.")
    if free < LOW_DISK_BYTES:
        return Finding("disk", "warn", found, "Enough for a few days of a liquid market; watch it.")
    return Finding("disk", "ok", found)


def check_unfinished_work(root: Path, clock: Clock) -> Iterator[Finding]:
    """List what runs that died have left beside the partitions, unless another run is at work there."""
    from order_book_platform.model.dataset_catalog import DATASETS
    from order_book_platform.storage import find_unfinished_work

    for left in find_unfinished_work(root):
        age = age_text(max(0, clock.now_ns() - left.newest_ns))
        found = f"{left.dataset} of {left.key}: {left.bytes / 1e6:,.1f} MB, {age} old"
        made_by = DATASETS[left.dataset].asset
        again = f"obp materialize --symbol {left.key.instrument} --day {left.key.day} --select {made_by}"
        remove = f"rm -r {' '.join(shlex.quote(str(folder)) for folder in left.folders)}"
        if left.kind == "building" and left.checkpoints:
            checkpoints = f"{left.checkpoints} checkpoint{'s' if left.checkpoints > 1 else ''}"
            remedy = f"Go on: {again}. Or give up: {remove}"
            yield Finding("unfinished", "warn", f"{found}, {checkpoints}", remedy)
        elif left.kind == "replaced" and not left.is_published:
            # The machine died between two renames: this is the partition, and the next run puts it back.
            yield Finding("set aside", "warn", found, f"It is the only one there is. Make it again: {again}")
        else:
            yield Finding(f"left: {left.kind}", "warn", found, f"Of no use: {remove}")


def check_lake(settings: Settings) -> Iterator[Finding]:
    """Check which days of the listed symbols the lake holds; who records by themselves needs none."""
    from order_book_platform.sources import LakeSource
    from order_book_platform.sources.binance.finished_days import capture_folders

    root = settings.lake_root
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        remedy = "Set lake_root to the folder that holds book_delta_v2/, or fill it: obp simulate --help."
        captured = bool(capture_folders(settings.capture_root))
        yield Finding("lake root", "warn" if captured else "fail", f"cannot read {root}", remedy)
        return
    yield Finding("lake root", "ok", str(root))
    source = LakeSource(root)
    for entry in settings.instruments:
        try:
            days, *others = (source.days(table, entry.instrument) for table in TABLES)
        except SourceAccessError as error:
            yield Finding(entry.symbol, "fail", f"cannot read {error.where}", error.remedy)
            continue
        if not days:
            remedy = "Check the symbol's spelling, or fetch or simulate its files."
            yield Finding(entry.symbol, "warn", "no day of book_delta_v2", remedy)
            continue
        span = days[0] if len(days) == 1 else f"{days[0]} … {days[-1]}"
        found = f"{len(days)} day{'s' if len(days) > 1 else ''} of book_delta_v2, {span}"
        lacking = [table for table, has in zip(TABLES[1:], others, strict=True) if not set(days) <= set(has)]
        if lacking:
            found += f"; {' and '.join(lacking)} not for all of them"
            remedy = (
                "Without book no book can be seeded or proven; without trades there are no trade features."
            )
            yield Finding(entry.symbol, "warn", found, remedy)
        else:
            yield Finding(entry.symbol, "ok", found)


def check_instance(settings_file: Path) -> Finding:
    """Check that the Dagster instance can be opened; a missing one is not created."""
    from order_book_platform.cli.dagster_instance import INSTANCE_FILE, dagster_instance, instance_folder

    name = "dagster instance"
    try:
        folder = instance_folder(settings_file)
        if (folder / INSTANCE_FILE).is_file():
            with dagster_instance(settings_file) as instance:
                return Finding(name, "ok", f"{folder}: {instance.get_runs_count():,} runs")
        if is_writable(folder):
            return Finding(name, "ok", f"{folder} (will be set up by the first run)")
        return Finding(name, "fail", f"cannot write to {folder}", "Set DAGSTER_HOME elsewhere.")
    except SettingsError as error:
        return Finding(name, "fail", f"{error.where}: {error.found}", error.remedy)


def check_clock(settings: Settings, clock: Clock) -> Finding:
    """Check that the wall clock is not before `first_day` or the newest day that the lake holds."""
    from order_book_platform.sources import LakeSource

    now = iso_from_ns(clock.now_ns())
    source = LakeSource(settings.lake_root)
    newest = settings.first_day.isoformat()
    for entry in settings.instruments:
        with suppress(SourceAccessError):  # check_lake reports it
            newest = max([newest, *source.days("book_delta_v2", entry.instrument)])
    found = f"{now[:19]}Z"
    if now[:10] < newest:
        found = f"{found}, before {newest}, a day there are data of or first_day"
        return Finding("clock", "fail", found, "Set the clock (UTC).")
    return Finding("clock", "ok", found)


def _distribution_metadata() -> Message:
    """Read the metadata of this package's installation; empty where it runs from a source tree without one."""
    try:
        # The mapping that is returned is an email.message.Message; its annotation leaves out `get`.
        return cast("Message", metadata.metadata(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        return Message()
