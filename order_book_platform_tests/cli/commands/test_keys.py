"""`obp keys` makes, rotates, lists and checks keys, and says plainly what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from order_book_platform.cli.group import obp
from order_book_platform.storage.log import LogWriter
from order_book_platform.storage.master_keys import KEYS_VARIABLE, read_key_file
from order_book_platform_tests.storage.log.rows import SCHEMA, append


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file whose captures are encrypted with `keys.json`."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    file = tmp_path / "platform.toml"
    file.write_text(
        'lake_root = "lake"\ndata_root = "store"\ncapture_root = "captures"\nfirst_day = "2024-08-08"\n'
        '[[instruments]]\nsymbol = "BINANCE:BTC-USDT"\n[capture]\nkey_file = "keys.json"\n'
    )
    return file


def run(settings: Path, *words: str) -> Result:
    """Call `obp keys` in this process."""
    return CliRunner().invoke(obp, ["--config", str(settings), "keys", *words])


def capture(settings: Path, rows: int = 10) -> Path:
    """Append rows to an encrypted log below the capture root."""
    folder = settings.parent / "captures" / "usdm" / "raw"
    with LogWriter(folder, SCHEMA, keys=read_key_file(settings.parent / "keys.json")) as writer:
        append(writer, rows)
    return folder


def test_new_keys_are_for_their_owner_alone_and_are_not_replaced(settings: Path) -> None:
    """A second call leaves the file as it is, since whoever replaces it loses what it encrypted."""
    made = run(settings, "new", "--json")
    assert made.exit_code == 0, made.output
    file = settings.parent / "keys.json"
    assert json.loads(made.stdout)["active"] == read_key_file(file).active
    before = file.read_bytes()
    again = run(settings, "new")
    assert again.exit_code == 1
    assert "Add a key to it with `obp keys rotate`" in again.stderr
    assert file.read_bytes() == before


def test_a_rotated_key_is_listed_with_what_older_ones_hold(settings: Path) -> None:
    """The list counts, for each key, the segments that need it, also for one that is not at hand any more."""
    assert run(settings, "new").exit_code == 0
    old = read_key_file(settings.parent / "keys.json").active
    capture(settings)
    assert run(settings, "rotate").exit_code == 0
    capture(settings)
    listed = json.loads(run(settings, "list", "--json").stdout)["keys"]
    assert [(each["id"] == old, each["active"], each["segments"]) for each in listed] == [
        (True, False, 1),
        (False, True, 1),
    ]
    (settings.parent / "keys.json").unlink()
    assert run(settings, "new").exit_code == 0
    lost = json.loads(run(settings, "list", "--json").stdout)["keys"]
    assert [(each["segments"], each["at_hand"]) for each in lost] == [(0, True), (1, False), (1, False)]
    assert "not at hand" in run(settings, "list").stdout


def test_a_check_names_what_is_damaged(settings: Path) -> None:
    """It exits 0 for whole logs and 1 for a changed byte, with the file and how many rows are lost."""
    assert run(settings, "new").exit_code == 0
    folder = capture(settings, 10)
    whole = run(settings, "check", "--json")
    assert whole.exit_code == 0
    assert [(each["log"], each["rows"], each["encrypted"]) for each in json.loads(whole.stdout)["logs"]] == [
        ("usdm/raw", 10, True)
    ]
    path = folder / f"{0:020}.log"
    content = bytearray(path.read_bytes())
    content[-200] ^= 1
    path.write_bytes(content)
    damaged = run(settings, "check")
    assert damaged.exit_code == 1
    assert "10 rows lost" in damaged.stdout
    assert path.name in damaged.stdout.replace("\n", "")


def test_a_check_without_the_right_key_fails(settings: Path) -> None:
    """Rows that cannot be decrypted are not whole."""
    assert run(settings, "new").exit_code == 0
    capture(settings)
    (settings.parent / "keys.json").unlink()
    assert run(settings, "new").exit_code == 0
    checked = run(settings, "check", "--json")
    assert checked.exit_code == 1
    assert "the master key" in json.loads(checked.stdout)["logs"][0]["damages"][0]["expected"]


def test_without_a_key_file_it_says_where_to_name_one(settings: Path) -> None:
    """Each command names both ways to give the file, and wrong usage exits 2."""
    settings.write_text(settings.read_text().replace('[capture]\nkey_file = "keys.json"\n', ""))
    for word in ("new", "rotate", "list"):
        failed = run(settings, word)
        assert failed.exit_code == 2
        assert "capture.key_file" in failed.stderr
