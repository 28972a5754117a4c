"""Encryption of the frames of an open segment with AES-256-GCM (docs/formats/log.md, version 2).

A frame's associated data bind it to its log, segment, offset, header and the frame before, so that a frame that was
changed, removed, moved or copied from elsewhere does not open.
"""

from __future__ import annotations

import base64
import json
import secrets
import struct

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from order_book_platform.errors import LogCorruptError
from order_book_platform.storage.log.frames import SEAL_BYTES, Frame
from order_book_platform.storage.master_keys import KEY_BYTES, MasterKeys, WrappedKey

COUNTER_BYTES, TAG_BYTES, LOG_ID_BYTES = 8, 16, 16

_PLACE = struct.Struct("<16sQQ")
_SEALED_AT = COUNTER_BYTES + TAG_BYTES
_NO_TAG = bytes(TAG_BYTES)


def new_log_id() -> bytes:
    """Draw the 16 bytes that tell a log from every other one."""
    return secrets.token_bytes(LOG_ID_BYTES)


class FrameSealer:
    """Encrypts the frames that one writer appends to one segment, under a data key of its own.

    Args:
        log_id: 16 bytes of the log.
        first_row: Number of the segment's first row.
        keys: Master keys, of which the active one wraps the data key.

    Attributes:
        key_payload: Payload of the frame of kind 4 that has to precede the frames.
        tag: Tag of the last frame that was written, 16 bytes; zeros before the first.
    """

    def __init__(self, log_id: bytes, first_row: int, keys: MasterKeys) -> None:
        data_key = secrets.token_bytes(KEY_BYTES)
        self.key_payload = json.dumps(
            {**keys.wrap(data_key).to_json(), "log": base64.b64encode(log_id).decode()}
        ).encode()
        self.tag = _NO_TAG
        self._log_id, self._first_row = log_id, first_row
        self._cipher = AESGCM(data_key)
        self._counter = 0
        self._sealed_tag = _NO_TAG

    def seal(self, payload: pa.Buffer, header: bytes, *, offset: int) -> bytes:
        """Encrypt a payload; the counter goes on even if the frame is never written, so that no nonce repeats.

        Args:
            payload: Payload as version 1 has it.
            header: The frame's header behind the checksum, 32 bytes.
            offset: Offset in bytes at which the frame is going to be written.

        Returns:
            Counter, tag of the frame before, ciphertext and tag.
        """
        self._counter += 1
        counter = self._counter.to_bytes(COUNTER_BYTES, "little")
        associated = _associated(self._log_id, self._first_row, offset, header, self.tag)
        sealed = self._cipher.encrypt(
            _nonce(counter), memoryview(payload).cast("B"), associated + self.key_payload
        )
        self._sealed_tag = sealed[-TAG_BYTES:]
        return counter + self.tag + sealed

    def written(self) -> None:
        """Chain the next frame to the one sealed last, which has been written completely."""
        self.tag = self._sealed_tag


class FrameOpener:
    """Decrypts the frames of one segment in their order.

    Args:
        first_row: Number of the segment's first row.
        keys: Master keys at hand.

    Attributes:
        log_id: 16 bytes of the log; empty before the first frame of kind 4.
    """

    def __init__(self, first_row: int, keys: MasterKeys) -> None:
        self.log_id = b""
        self._first_row = first_row
        self._keys = keys
        self._cipher: AESGCM | None = None
        self._key_payload = b""
        self._tag = _NO_TAG

    def take_key(self, payload: pa.Buffer, where: str) -> None:
        """Use the data key of a frame of kind 4 for the frames behind it.

        Raises:
            LogKeyError: The master key is not at hand, or the wrapped key was changed.
            LogCorruptError: The frame belongs to another log than those before it.
        """
        wrapped, log_id = read_key_payload(payload, where)
        if self.log_id not in (b"", log_id):
            raise changed("a key of this log", "one of another log", where)
        self.log_id = log_id
        self._cipher = AESGCM(self._keys.unwrap(wrapped, where))
        self._key_payload, self._tag = payload.to_pybytes(), _NO_TAG

    def open(self, frame: Frame, where: str, *, chained: bool = True) -> pa.Buffer:
        """Decrypt the payload of a frame.

        Args:
            frame: An encrypted frame behind the one with its key.
            where: File and offset, for the error.
            chained: Whether the frame has to follow the one that was opened last; false where that one is damaged.

        Raises:
            LogCorruptError: The frame, its place or the frame before it is not what was written.
        """
        view = memoryview(frame.payload).cast("B")  # pyarrow's own format, signed bytes, is refused
        if self._cipher is None or len(view) < SEAL_BYTES:
            raise changed("an encrypted frame behind its key", f"{len(view)} bytes without one", where)
        counter, before = bytes(view[:COUNTER_BYTES]), bytes(view[COUNTER_BYTES:_SEALED_AT])
        if chained and before != self._tag:
            raise changed("a frame that follows the one before it", "one that follows another", where)
        associated = _associated(self.log_id, self._first_row, frame.offset, frame.header, before)
        try:
            opened = self._cipher.decrypt(_nonce(counter), view[_SEALED_AT:], associated + self._key_payload)
        except InvalidTag:
            raise changed("the frame that was written here", "another one", where) from None
        self._tag = bytes(view[-TAG_BYTES:])
        return pa.py_buffer(opened)


def read_key_payload(payload: pa.Buffer, where: str) -> tuple[WrappedKey, bytes]:
    """Return the wrapped data key and the 16 bytes of the log from a frame of kind 4.

    Raises:
        LogKeyError: There is no wrapped key in it.
        LogCorruptError: It is not JSON or has no log.
    """
    try:
        content = json.loads(payload.to_pybytes())
        log_id = base64.b64decode(content["log"], validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise changed("a frame with a key", f"{type(error).__name__}: {error}", where) from error
    return WrappedKey.from_json(content, where), log_id


def _associated(log_id: bytes, first_row: int, offset: int, header: bytes, tag: bytes) -> bytes:
    return _PLACE.pack(log_id, first_row, offset) + header + tag


def _nonce(counter: bytes) -> bytes:
    return counter + bytes(4)


def changed(expected: str, found: str, where: str) -> LogCorruptError:
    """Make the error about bytes that are not the ones that were written there."""
    return LogCorruptError(
        expected=expected,
        found=found,
        where=where,
        remedy="Bytes were changed, moved or removed after they had been written: restore the segment from a copy.",
    )
