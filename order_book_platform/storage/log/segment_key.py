"""The key file of an encrypted sealed segment, which is a Parquet file with Parquet's own modular encryption."""

from __future__ import annotations

import base64
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow.parquet import encryption

from order_book_platform.errors import LogKeyError
from order_book_platform.storage.log.frame_encryption import read_key_payload
from order_book_platform.storage.log.frames import FrameKind, read_frame
from order_book_platform.storage.log.segments import corrupt, first_rows, keys_needed, open_path, sealed_path
from order_book_platform.storage.master_keys import KEY_BYTES, MasterKeys, WrappedKey

_READ_BYTES = 1 << 20
_VERSION = 2


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """The content of a key file.

    Attributes:
        wrapped: Data key of the segment.
        log_id: 16 bytes that tell the log from others.
        aad_prefix: Prefix of the associated data of every module of the Parquet file.
        crc32: CRC-32 of the whole Parquet file; it tells damage at once, the tags inside the file tell changes.
    """

    wrapped: WrappedKey
    log_id: bytes
    aad_prefix: str
    crc32: int = 0

    def check(self, path: Path) -> None:
        """Compare the file with its checksum.

        Raises:
            LogCorruptError: The file is not the one that was sealed.
        """
        crc = _file_crc32(path)
        if crc != self.crc32:
            raise corrupt(f"CRC-32 {self.crc32:08x} (of its key file)", f"{crc:08x}", str(path))

    def decryption_properties(self, path: Path, keys: MasterKeys | None) -> Any:
        """Return what pyarrow needs to read the file.

        Raises:
            LogKeyError: There are no keys, or the master key is not among them.
        """
        if keys is None:
            raise keys_needed(self.wrapped.master, str(path))
        return encryption.create_decryption_properties(
            keys.unwrap(self.wrapped, str(key_path(path))), aad_prefix=self.aad_prefix.encode()
        )

    def save(self, file: Path, target: Path) -> None:
        """Write the key file of a segment, flushed to the device, before the segment itself gets its name.

        Args:
            file: The complete Parquet file, under the name it has so far.
            target: The name that it is going to have.
        """
        content = {
            "version": _VERSION,
            **self.wrapped.to_json(),
            "log": base64.b64encode(self.log_id).decode(),
            "aad_prefix": self.aad_prefix,
            "crc32": f"{_file_crc32(file):08x}",
        }
        path = key_path(target)
        with path.open("w", encoding="utf-8") as out:
            out.write(json.dumps(content) + "\n")
            out.flush()
            os.fsync(out.fileno())


def key_path(sealed: Path) -> Path:
    """Return the path of the key file of a sealed segment."""
    return sealed.with_name(sealed.name + ".key")


def new_segment_key(log_id: bytes, name: str, keys: MasterKeys) -> tuple[SegmentKey, Any]:
    """Draw a data key for a segment; returns it with what pyarrow needs to write the file.

    Args:
        log_id: 16 bytes of the log.
        name: Name of the sealed file.
        keys: Master keys, of which the active one wraps the data key.
    """
    data_key, prefix = secrets.token_bytes(KEY_BYTES), f"{log_id.hex()}/{name}"
    properties = encryption.create_encryption_properties(
        data_key, aad_prefix=prefix.encode(), store_aad_prefix=False
    )
    return SegmentKey(keys.wrap(data_key), log_id, prefix), properties


def read_segment_key(sealed: Path) -> SegmentKey | None:
    """Read the key file of a sealed segment; returns None if the segment is not encrypted.

    Raises:
        FileNotFoundError: There is no such segment.
        LogKeyError: The segment is encrypted and its key file is missing or unreadable.
    """
    path = key_path(sealed)
    with sealed.open("rb") as file:
        is_encrypted = file.read(4) == b"PARE"
    if not is_encrypted:
        return None
    try:
        content = json.loads(path.read_bytes())
        return SegmentKey(
            WrappedKey.from_json(content, str(path)),
            base64.b64decode(content["log"], validate=True),
            content["aad_prefix"],
            int(content["crc32"], 16),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise LogKeyError(
            expected="the key file of the encrypted segment",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
            remedy="Restore it from a copy; without it the segment cannot be decrypted.",
        ) from error


def decryption_properties(sealed: Path, keys: MasterKeys) -> Any:
    """Return pyarrow's decryption properties for a sealed segment; None if it is not encrypted.

    Args:
        sealed: Path of the Parquet file.
        keys: Master keys, from `load_master_keys`.

    Raises:
        LogKeyError: The key is missing or wrong.
    """
    key = read_segment_key(sealed)
    return None if key is None else key.decryption_properties(sealed, keys)


def wrapping_keys(folder: Path) -> Iterator[str]:
    """Yield the id of the master key of each segment of a log, and of each opening of an open one."""
    for first_row in first_rows(folder):
        if sealed_path(folder, first_row).exists():
            key = read_segment_key(sealed_path(folder, first_row))
            if key is not None:
                yield key.wrapped.master
            continue
        path, offset = open_path(folder, first_row), 0
        with path.open("rb") as file:
            while (frame := read_frame(file.fileno(), offset, str(path))) is not None:
                if frame.kind == FrameKind.KEY:
                    yield read_key_payload(frame.payload, f"{path}, byte {offset}")[0].master
                offset = frame.end


def _file_crc32(path: Path) -> int:
    crc = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(_READ_BYTES):
            crc = zlib.crc32(block, crc)
    return crc
