"""Master keys of encrypted logs: read from a key file or the environment, used to wrap data keys and for nothing else.

The format is in docs/formats/log.md, the reasons are in ADR 25. A key file is JSON:

    {"active": "1f0c2a9b", "keys": {"1f0c2a9b": {"created": "2026-12-01T09:30:00Z", "key": "<base64 of 32 bytes>"}}}
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from order_book_platform.errors import LogKeyError
from order_book_platform.storage.disk import sync_path

KEYS_VARIABLE = "OBP_CAPTURE_KEYS"
"""Environment variable that may hold the content of a key file."""
KEY_BYTES = 32
_MODE = 0o600
_ONLY_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it is stored.

    Attributes:
        master: Id of the master key that wrapped it, 8 hexadecimal digits.
        wrapped: The data key, wrapped by RFC 3394, 40 bytes.
    """

    master: str
    wrapped: bytes

    def to_json(self) -> dict[str, str]:
        """Return the keys `master` and `wrapped` (base64) for a JSON object."""
        return {"master": self.master, "wrapped": base64.b64encode(self.wrapped).decode()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> WrappedKey:
        """Read what `to_json` returned; `where` names the file in errors.

        Raises:
            LogKeyError: A value is missing or is not of that form.
        """
        try:
            return cls(str(values["master"]), base64.b64decode(values["wrapped"], validate=True))
        except (KeyError, TypeError, ValueError) as error:
            raise LogKeyError(
                expected="a wrapped data key: master and wrapped",
                found=f"{type(error).__name__}: {error}",
                where=where,
                remedy="Restore the file from a copy; without it the segment cannot be decrypted.",
            ) from error


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The master keys at hand.

    Attributes:
        active: Id of the key that wraps new data keys.
        source: Path of the key file, or name of the environment variable, for errors.
        created: Time of creation of each key by its id, ISO 8601, UTC.
    """

    active: str
    source: str
    created: Mapping[str, str]
    _keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def new(cls, source: str) -> MasterKeys:
        """Draw a first key.

        Args:
            source: Path of the file that the keys are going to be saved in.
        """
        return cls("", source, {}, {}).rotated()

    def rotated(self) -> MasterKeys:
        """Return these keys and a new one, which is active from now on."""
        key = secrets.token_bytes(KEY_BYTES)
        name = _key_id(key)
        created = {**self.created, name: datetime.now(UTC).isoformat(timespec="seconds")}
        return MasterKeys(name, self.source, created, {**self._keys, name: key})

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Wrap a data key with the active master key."""
        return WrappedKey(self.active, aes_key_wrap(self._keys[self.active], data_key))

    def unwrap(self, wrapped: WrappedKey, where: str) -> bytes:
        """Return the data key.

        Args:
            wrapped: As it is stored.
            where: File that it is stored in, for the error.

        Raises:
            LogKeyError: The master key is not among these, or the wrapped key was changed.
        """
        try:
            return aes_key_unwrap(self._key(wrapped.master, where), wrapped.wrapped)
        except InvalidUnwrap as error:
            raise LogKeyError(
                expected=f"a data key wrapped by the master key {wrapped.master}",
                found="other bytes",
                where=where,
                remedy="The file was changed or damaged: restore it from a copy.",
            ) from error

    def seal(self, content: bytes) -> dict[str, str]:
        """Encrypt a small content with AES-256-GCM under a data key of its own; the result is JSON-ready."""
        data_key = secrets.token_bytes(KEY_BYTES)
        # A key that encrypts once needs no other nonce than this.
        sealed = AESGCM(data_key).encrypt(_ONLY_NONCE, content, None)
        return {**self.wrap(data_key).to_json(), "sealed": base64.b64encode(sealed).decode()}

    def unseal(self, sealed: Mapping[str, Any], where: str) -> bytes:
        """Decrypt what `seal` returned; `where` names the file in errors.

        Raises:
            LogKeyError: The master key is not at hand, or the content is not one that `seal` returned.
        """
        data_key = self.unwrap(WrappedKey.from_json(sealed, where), where)
        try:
            return AESGCM(data_key).decrypt(
                _ONLY_NONCE, base64.b64decode(sealed["sealed"], validate=True), None
            )
        except (InvalidTag, KeyError, TypeError, ValueError) as error:
            raise LogKeyError(
                expected="an encrypted content",
                found=f"other bytes ({type(error).__name__})",
                where=where,
                remedy="The file was changed or damaged: restore it from a copy, or remove it if it is a checkpoint.",
            ) from error

    def derive(self, purpose: bytes, master: str) -> bytes:
        """Return a 32-byte authentication key that a master key gives for one purpose.

        Raises:
            LogKeyError: The master key is not at hand.
        """
        return hmac.digest(self._key(master, purpose.decode()), b"order-book-platform " + purpose, "sha256")

    def _key(self, master: str, where: str) -> bytes:
        key = self._keys.get(master)
        if key is None:
            raise LogKeyError(
                expected=f"the master key {master}",
                found=f"{', '.join(self._keys)} in {self.source}",
                where=where,
                remedy="Name the key file that holds it; `obp keys list` shows which keys a file has.",
            )
        return key

    def save(self, path: Path) -> None:
        """Write a key file that its owner alone may read, whole or not at all."""
        entries = {
            name: {"created": self.created[name], "key": base64.b64encode(key).decode()}
            for name, key in self._keys.items()
        }
        text = json.dumps({"active": self.active, "keys": entries}, indent=2) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_path(path.parent)


def load_master_keys(path: Path | None) -> MasterKeys | None:
    """Read the master keys from the environment variable `OBP_CAPTURE_KEYS` or else from a file.

    Args:
        path: Key file of the settings; None if none is set.

    Returns:
        The keys; None if neither the variable nor a file is set, so that captures are not encrypted.

    Raises:
        LogKeyError: The file is missing, may be read by others than its owner, or holds no usable keys.
    """
    text = os.environ.get(KEYS_VARIABLE)
    if text:
        return _parse(text, f"environment variable {KEYS_VARIABLE}")
    return None if path is None else read_key_file(path)


def read_key_file(path: Path) -> MasterKeys:
    """Read the master keys from a file.

    Raises:
        LogKeyError: The file is missing, may be read by others than its owner, or holds no usable keys.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        # A credential of a systemd service is the service's alone by its folder; the access list that lets the service
        # read it shows as rights of the group.
        is_credential = str(path.parent) == os.environ.get("CREDENTIALS_DIRECTORY")
        if mode & (0o007 if is_credential else 0o077):
            raise LogKeyError(
                expected="a key file that its owner alone may read (mode 0600)",
                found=f"mode {mode:04o}",
                where=str(path),
                remedy=f"Run chmod 600 {path}; if others may have read it, run `obp keys rotate` as well.",
            )
        return _parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise LogKeyError(
            expected="a readable key file",
            found=str(error),
            where=str(path),
            remedy="Create one with `obp keys new`, or correct capture.key_file in the settings.",
        ) from error


def _parse(text: str, source: str) -> MasterKeys:
    """Read the content of a key file; errors name the place and never a key."""
    try:
        content = json.loads(text)
        keys, created = {}, {}
        for name, entry in content["keys"].items():
            keys[name] = base64.b64decode(entry["key"], validate=True)
            created[name] = str(entry.get("created", "unknown"))
            if len(keys[name]) != KEY_BYTES or _key_id(keys[name]) != name:
                raise _unusable(source, f"a key {name} that is not of {KEY_BYTES} bytes or has another id")
        active = content["active"]
        if active not in keys:
            raise _unusable(source, "an active key that is not among the keys")
    except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
        # The text of such an error can contain what was read, so only its kind is told.
        raise _unusable(source, f"content that is not of that form ({type(error).__name__})") from None
    return MasterKeys(active, source, created, keys)


def _key_id(key: bytes) -> str:
    """Return the id of a master key, which follows from the key and tells nothing about it."""
    return hashlib.sha256(b"order-book-platform master key id" + key).hexdigest()[:8]


def _unusable(source: str, found: str) -> LogKeyError:
    return LogKeyError(
        expected="JSON with the master keys by id and the id of the active one",
        found=found,
        where=source,
        remedy="Restore the key file from a copy; `obp keys new` writes one in the right form.",
    )
