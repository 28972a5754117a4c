"""`obp keys` makes, rotates and lists the keys of encrypted captures, and checks that everything can be decrypted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from order_book_platform.cli.options import Invocation, json_option
from order_book_platform.cli.output import print_json, stdout, table
from order_book_platform.errors import LogKeyError, SettingsError

if TYPE_CHECKING:
    from order_book_platform.storage.log.salvage import Damage
    from order_book_platform.storage.master_keys import MasterKeys

file_option = click.option(
    "--file",
    "key_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Key file.  [default: capture.key_file of the settings]",
)


@click.group(short_help="Keys of encrypted captures.")
def keys() -> None:
    """Make, rotate, list and check the master keys that captures are encrypted with.

    Name the file in the settings (capture.key_file), or put its content into the environment variable
    OBP_CAPTURE_KEYS. Keep a copy elsewhere: without its key a capture is lost.

    \b
    Example:
      obp keys new --file /etc/order-book-platform/keys.json
      obp keys check
    """  # noqa: D301 - \b is click's mark for "do not rewrap"


@keys.command()
@file_option
@json_option
@click.pass_obj
def new(invocation: Invocation, key_file: Path | None, as_json: bool) -> None:
    """Write a key file with a first key, for its owner alone to read. A file that exists is left alone.

    \b
    Example:
      obp keys new --file /etc/order-book-platform/keys.json
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.storage.master_keys import MasterKeys

    path = _path(invocation, key_file)
    if path.exists():
        raise LogKeyError(
            expected="no file there yet",
            found="a file",
            where=str(path),
            remedy="Add a key to it with `obp keys rotate`; whoever replaces it loses what its keys encrypted.",
        )
    made = MasterKeys.new(str(path))
    made.save(path)
    _show_active(made, path, as_json)


@keys.command()
@file_option
@json_option
@click.pass_obj
def rotate(invocation: Invocation, key_file: Path | None, as_json: bool) -> None:
    """Add a key that encrypts from the next opening of a log on. Older keys stay, since older segments need them.

    \b
    Example:
      obp keys rotate
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.storage.master_keys import read_key_file

    path = _path(invocation, key_file)
    rotated = read_key_file(path).rotated()
    rotated.save(path)
    _show_active(rotated, path, as_json)


@keys.command("list")
@file_option
@json_option
@click.pass_obj
def list_keys(invocation: Invocation, key_file: Path | None, as_json: bool) -> None:
    """List the keys at hand, and how many segments below capture_root each of them has wrapped a key for.

    \b
    Example:
      obp keys list --json
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.storage.log.segment_key import wrapping_keys

    held = _keys(invocation, key_file)
    root = invocation.settings().capture_root
    used = Counter(name for folder in _log_folders(root) for name in wrapping_keys(folder))
    names = [*held.created, *sorted(set(used) - set(held.created))]
    entries = [
        {
            "id": name,
            "created": held.created.get(name),
            "active": name == held.active,
            "segments": used[name],
            "at_hand": name in held.created,
        }
        for name in names
    ]
    if as_json:
        print_json({"source": held.source, "capture_root": str(root), "keys": entries})
        return
    rows = (
        (
            each["id"],
            each["created"] or Text("not at hand", "bold red"),
            "active" if each["active"] else "",
            f"{each['segments']:,}",
        )
        for each in entries
    )
    stdout().print(table(f"Keys of {held.source}", ("id", "created", "", "segments"), rows))


@keys.command()
@file_option
@json_option
@click.pass_obj
def check(invocation: Invocation, key_file: Path | None, as_json: bool) -> bool:
    """Read every log below capture_root to its end, and name everything that cannot be read or proven. Changes nothing.

    Exits 1 if there is any. Stop what writes to a log first: it may be reported as cut off otherwise.

    \b
    Example:
      obp keys check
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.storage.log.salvage import salvage
    from order_book_platform.storage.log.segments import LogBatch
    from order_book_platform.storage.master_keys import load_master_keys

    settings = invocation.settings()
    held = load_master_keys(key_file or settings.capture.key_file)
    logs: list[dict[str, Any]] = []
    for folder in _log_folders(settings.capture_root):
        rows, damages = 0, []
        for part in salvage(folder, held):
            if isinstance(part, LogBatch):
                rows += part.batch.num_rows
            else:
                damages.append(_damage(part))
        logs.append(
            {
                "log": str(folder.relative_to(settings.capture_root)),
                "encrypted": (folder / "high_water").exists(),
                "rows": rows,
                "lost_rows": sum(each["rows"] for each in damages),
                "damages": damages,
            }
        )
    passed = not any(each["damages"] for each in logs)
    if as_json:
        print_json({"passed": passed, "capture_root": str(settings.capture_root), "logs": logs})
        return passed
    cells = (
        (
            each["log"],
            "yes" if each["encrypted"] else Text("no", "yellow"),
            f"{each['rows']:,}",
            Text("whole", "green")
            if not each["damages"]
            else Text(f"{each['lost_rows']:,} rows lost", "bold red"),
        )
        for each in logs
    )
    stdout().print(table(f"Logs below {settings.capture_root}", ("log", "encrypted", "rows", ""), cells))
    for each in logs:
        for damage in each["damages"]:
            stdout().print(
                Text(f"{damage['where']}: expected {damage['expected']}, found {damage['found']}", "red")
            )
    return passed


def _damage(part: Damage) -> dict[str, Any]:
    error = part.error
    return {
        "first_row": part.first_row,
        "rows": part.next_row - part.first_row,
        "where": error.where,
        "expected": error.expected,
        "found": error.found,
    }


def _path(invocation: Invocation, key_file: Path | None) -> Path:
    """Return the key file of the option or of the settings."""
    path = key_file or invocation.settings().capture.key_file
    if path is None:
        raise SettingsError(
            expected="a key file",
            found="none",
            where="--file and capture.key_file",
            remedy="Give --file, or set capture.key_file in the settings.",
        )
    return path


def _keys(invocation: Invocation, key_file: Path | None) -> MasterKeys:
    """Return the keys at hand; none at all is an error."""
    from order_book_platform.storage.master_keys import load_master_keys

    held = load_master_keys(key_file or invocation.settings().capture.key_file)
    if held is None:
        raise SettingsError(
            expected="keys",
            found="none",
            where="capture.key_file and OBP_CAPTURE_KEYS",
            remedy="Make a key file with `obp keys new --file FILE`, and name it in the settings.",
        )
    return held


def _show_active(held: MasterKeys, path: Path, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(path), "active": held.active, "keys": list(held.created)})
    else:
        stdout().print(
            f"{path}: key {held.active} is active, {len(held.created)} in all. Keep a copy elsewhere."
        )


def _log_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of all logs below a folder, in order of their paths."""
    from order_book_platform.storage.log.segments import first_rows

    for folder in sorted([root, *root.rglob("*")]) if root.is_dir() else []:
        if folder.is_dir() and first_rows(folder):
            yield folder
