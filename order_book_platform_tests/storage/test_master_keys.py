"""Master keys are read from a file or the environment, wrap data keys, and are never told to anybody."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest

from order_book_platform.errors import LogKeyError
from order_book_platform.storage.master_keys import (
    KEYS_VARIABLE,
    MasterKeys,
    WrappedKey,
    load_master_keys,
    read_key_file,
)


def saved(path: Path) -> MasterKeys:
    """Save new keys in a file and return them."""
    keys = MasterKeys.new(str(path))
    keys.save(path)
    return keys


def test_keys_come_back_from_their_file(tmp_path: Path) -> None:
    """A key file is read by its owner alone and unwraps what the keys before it had wrapped."""
    keys = saved(tmp_path / "folder" / "keys.json")
    assert (tmp_path / "folder" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["keys.json"]
    loaded = load_master_keys(tmp_path / "folder" / "keys.json")
    assert loaded is not None
    assert loaded.unwrap(keys.wrap(b"k" * 32), "here") == b"k" * 32


def test_keys_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable has the content of a key file and wins over a file."""
    keys = saved(tmp_path / "keys.json")
    saved(tmp_path / "other.json")
    monkeypatch.setenv(KEYS_VARIABLE, (tmp_path / "keys.json").read_text())
    loaded = load_master_keys(tmp_path / "other.json")
    assert loaded is not None
    assert loaded.active == keys.active


def test_without_file_and_variable_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encryption is a choice."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    assert load_master_keys(None) is None


def test_a_rotation_keeps_what_older_keys_wrapped(tmp_path: Path) -> None:
    """The new key wraps from now on, the old one still unwraps."""
    old = MasterKeys.new("here")
    new = old.rotated()
    assert new.active != old.active
    assert new.unwrap(old.wrap(b"k" * 32), "here") == b"k" * 32
    assert new.wrap(b"k" * 32).master == new.active
    new.save(tmp_path / "keys.json")
    loaded = load_master_keys(tmp_path / "keys.json")
    assert loaded is not None
    assert sorted(loaded.created) == sorted([old.active, new.active])


def test_a_key_that_is_not_there_is_named() -> None:
    """The error has the id of the master key that is needed, and those at hand."""
    wrapped = MasterKeys.new("here").wrap(b"k" * 32)
    keys = MasterKeys.new("there.json")
    with pytest.raises(
        LogKeyError, match=rf"expected the master key {wrapped.master}, found {keys.active} in there"
    ):
        keys.unwrap(wrapped, "segment")


def test_a_wrapped_key_that_was_changed_is_refused() -> None:
    """The wrapping proves itself: a changed byte does not give another data key."""
    keys = MasterKeys.new("here")
    wrapped = keys.wrap(b"k" * 32)
    for at in range(len(wrapped.wrapped)):
        changed = bytearray(wrapped.wrapped)
        changed[at] ^= 1
        with pytest.raises(LogKeyError, match="wrapped by the master key"):
            keys.unwrap(dataclasses.replace(wrapped, wrapped=bytes(changed)), "segment")


def test_another_purpose_gives_another_key() -> None:
    """Keys that authenticate are derived, one for each purpose and master key."""
    keys = MasterKeys.new("here").rotated()
    names = list(keys.created)
    assert len({keys.derive(purpose, name) for purpose in (b"a", b"b") for name in names}) == 4
    with pytest.raises(LogKeyError, match="the master key 00000000"):
        keys.derive(b"a", "00000000")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The error says how to correct it."""
    saved(tmp_path / "keys.json")
    (tmp_path / "keys.json").chmod(0o640)
    with pytest.raises(LogKeyError, match=r"mode 0600.*found mode 0640.*chmod 600"):
        load_master_keys(tmp_path / "keys.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A setting that names a file which is not there never means "not encrypted"."""
    with pytest.raises(LogKeyError, match=r"a readable key file.*none\.json"):
        load_master_keys(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"active": "x", "keys": {}}),
        json.dumps({"active": "x", "keys": {"x": {"key": base64.b64encode(b"s3cret" * 4).decode()}}}),
        json.dumps({"active": "x", "keys": {"x": {"key": "s3cret"}}}),
        json.dumps({"active": "x", "keys": ["s3cret"]}),
    ],
)
def test_other_content_is_refused_without_being_told(content: str, tmp_path: Path) -> None:
    """An error about a key file never shows what is in it."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(LogKeyError, match="JSON with the master keys by id") as caught:
        load_master_keys(path)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_keys_do_not_show_themselves() -> None:
    """Neither `repr` nor the attributes that people print have a key in them."""
    keys = MasterKeys.new("here")
    assert repr(keys).count("=") == 3
    assert "_keys" not in repr(keys)


def test_a_wrapped_key_is_stored_as_text() -> None:
    """What `to_json` gives, `from_json` reads; anything else is refused with its place."""
    wrapped = MasterKeys.new("here").wrap(b"k" * 32)
    assert WrappedKey.from_json(json.loads(json.dumps(wrapped.to_json())), "here") == wrapped
    with pytest.raises(LogKeyError, match=r"0\.parquet\.key: expected a wrapped data key"):
        WrappedKey.from_json({"master": "x"}, "0.parquet.key")


def test_a_credential_of_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is closed to others, and the access list of the service shows as rights of the group."""
    path = tmp_path / "keys.json"
    MasterKeys.new(str(path)).save(path)
    path.chmod(0o440)
    with pytest.raises(LogKeyError, match="mode 0440"):
        read_key_file(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key_file(path).active
    path.chmod(0o444)
    with pytest.raises(LogKeyError, match="mode 0444"):
        read_key_file(path)
