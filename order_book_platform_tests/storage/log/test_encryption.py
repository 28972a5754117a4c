"""Encrypted logs: what a reader without the key, a changed byte, a moved frame and a cut tail meet."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import DiskFullError, LogCorruptError, LogKeyError
from order_book_platform.storage.log import LogReader, LogWriter, frame_encryption
from order_book_platform.storage.log.frames import Frame, FrameKind, read_frame
from order_book_platform.storage.log.salvage import Damage, salvage
from order_book_platform.storage.log.segment_key import (
    decryption_properties,
    key_path,
    read_segment_key,
    wrapping_keys,
)
from order_book_platform.storage.log.segments import LogBatch
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch, checked_rows

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_device")
KEYS = MasterKeys.new("tests")


def write(folder: Path, rows: int = 60, *, segment_bytes: int = 100_000, keys: MasterKeys = KEYS) -> None:
    """Append rows, ten in a frame, synced after each frame."""
    with LogWriter(folder, SCHEMA, segment_bytes=segment_bytes, row_group_rows=20, keys=keys) as writer:
        for _ in range(rows // 10):
            append(writer, 10)
            writer.sync()


def frames_of(path: Path) -> list[Frame]:
    """Read all frames of an open segment without decrypting them."""
    found, end = [], 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while (frame := read_frame(descriptor, end, str(path))) is not None:
            found.append(frame)
            end = frame.end
    finally:
        os.close(descriptor)
    return found


def test_rows_come_back(tmp_path: Path) -> None:
    """Open and sealed segments are read with the keys, also by a tail while the writer appends."""
    with LogWriter(tmp_path, SCHEMA, segment_bytes=4_000, row_group_rows=20, keys=KEYS) as writer:
        tail = LogReader(tmp_path, KEYS).tail()
        seen = 0
        for _ in range(20):
            append(writer, 10)
            writer.sync()
            while (rows := next(tail)) is not None:
                assert rows.batch.equals(batch(seen, rows.batch.num_rows))
                seen = rows.next_row
            assert seen == writer.next_row
        tail.close()
    assert len(list(tmp_path.glob("*.parquet"))) > 2
    assert checked_rows(tmp_path, keys=KEYS) == 200
    assert LogReader(tmp_path, KEYS).schema() == SCHEMA


def test_a_log_goes_on_with_another_data_key(tmp_path: Path) -> None:
    """Each opening appends a frame of kind 4; the log keeps its 16 bytes, and sealing in a thread encrypts as well."""
    for _ in range(3):
        write(tmp_path, 20)
    kinds = [frame.kind for frame in frames_of(tmp_path / f"{0:020}.log")]
    assert kinds.count(FrameKind.KEY) == 3
    assert kinds[:2] == [FrameKind.KEY, FrameKind.SCHEMA]
    with (
        ThreadPoolExecutor(1) as executor,
        LogWriter(tmp_path, SCHEMA, segment_bytes=1_000, seal_in=executor, keys=KEYS) as writer,
    ):
        append(writer, 10)
        append(writer, 10)
        assert writer.recovered.log_id is not None
    assert checked_rows(tmp_path, keys=KEYS) == 80


def test_after_a_rotation_of_master_keys_old_and_new_rows_are_read(tmp_path: Path) -> None:
    """The file of the newer keys reads everything; the older one names the key that it lacks."""
    write(tmp_path, 20)
    rotated = KEYS.rotated()
    write(tmp_path, 20, keys=rotated)
    assert checked_rows(tmp_path, keys=rotated) == 40
    assert list(wrapping_keys(tmp_path)) == [KEYS.active, rotated.active]
    with pytest.raises(LogKeyError, match=f"expected the master key {rotated.active}"):
        checked_rows(tmp_path, keys=KEYS)


@pytest.mark.parametrize("segment_bytes", [1_000, 100_000])
def test_without_keys_or_with_others_nothing_is_read(segment_bytes: int, tmp_path: Path) -> None:
    """Both errors name the master key that is needed, for sealed and open segments."""
    write(tmp_path, segment_bytes=segment_bytes)
    needed = f"the master key {KEYS.active}"
    with pytest.raises(LogKeyError, match=f"{needed}, since the log is encrypted, found no keys"):
        checked_rows(tmp_path)
    with pytest.raises(LogKeyError, match=f"expected {needed}, found .* in others"):
        checked_rows(tmp_path, keys=MasterKeys.new("others"))
    with pytest.raises(LogKeyError, match=needed):
        LogWriter(tmp_path, SCHEMA)
    assert checked_rows(tmp_path, keys=KEYS) == 60


def test_a_log_is_encrypted_from_its_first_row_or_not_at_all(tmp_path: Path) -> None:
    """Keys are refused for a log that has rows in plain text."""
    for name, seal in (("open", False), ("sealed", True)):
        with LogWriter(tmp_path / name, SCHEMA) as writer:
            append(writer, 10)
            writer.close(seal=seal)
        with pytest.raises(LogKeyError, match="a log that is not encrypted"):
            LogWriter(tmp_path / name, SCHEMA, keys=KEYS)
        assert checked_rows(tmp_path / name) == 10


def test_no_plaintext_and_no_key_is_in_any_file(tmp_path: Path) -> None:
    """Neither rows, nor the schema and its metadata, nor a key are found in what lies below the folder."""
    key_file = tmp_path / "keys.json"
    KEYS.save(key_file)
    key = base64.b64decode(json.loads(key_file.read_text())["keys"][KEYS.active]["key"])
    write(tmp_path / "log", 200, segment_bytes=3_000)
    files = list((tmp_path / "log").iterdir())
    assert {path.suffix for path in files} == {".parquet", ".key", ".log", ""}
    for path in files:
        content = path.read_bytes()
        for secret in (b"row 7919", b"levels", b"BTC-USDT", key, base64.b64encode(key), key.hex().encode()):
            assert secret not in content, (path, secret)
    with LogWriter(tmp_path / "plain", SCHEMA) as writer:  # the search would find them
        append(writer, 10)
    plain = (tmp_path / "plain" / f"{0:020}.log").read_bytes()
    assert all(secret in plain for secret in (b"row 7919", b"levels", b"BTC-USDT"))


def test_other_programs_read_sealed_segments(tmp_path: Path) -> None:
    """The call of the format document works for pyarrow and polars; a wrong prefix does not."""
    write(tmp_path, 100, segment_bytes=1_500)
    path = min(tmp_path.glob("*.parquet"))
    wanted = batch(0, pq.read_table(path, decryption_properties=decryption_properties(path, KEYS)).num_rows)
    assert pl.from_arrow(wanted).equals(  # type: ignore[union-attr]
        pl.from_arrow(pq.read_table(path, decryption_properties=decryption_properties(path, KEYS)))  # type: ignore[arg-type]
    )
    key = read_segment_key(path)
    assert key is not None
    data_key = KEYS.unwrap(key.wrapped, "here")
    properties = pl.ParquetDecryptionProperties(footer_key=data_key, aad_prefix=key.aad_prefix.encode())
    assert pl.scan_parquet(path, decryption=properties).collect().equals(pl.from_arrow(wanted))  # type: ignore[arg-type]
    other = pl.ParquetDecryptionProperties(footer_key=data_key, aad_prefix=b"another segment")
    with pytest.raises(pl.exceptions.ComputeError):
        pl.scan_parquet(path, decryption=other).collect()
    with pytest.raises(OSError, match="no decryption found"):
        pq.read_table(path)


def damaged(folder: Path, path: Path, content: bytes) -> tuple[set[int], list[Damage]]:
    """Read what is left with other content in one file; returns the rows and the damages. The file is put back."""
    before = path.read_bytes()
    path.write_bytes(content)
    rows: set[int] = set()
    damages = []
    try:
        for part in salvage(folder, KEYS):
            if isinstance(part, LogBatch):
                assert part.batch.equals(batch(part.first_row, part.batch.num_rows))
                rows.update(range(part.first_row, part.next_row))
            else:
                damages.append(part)
    finally:
        path.write_bytes(before)
    return rows, damages


def test_flipped_bits_are_found_and_the_rest_is_read(tmp_path: Path) -> None:
    """1,000 bits at random places of data, each noticed with its file; no row is wrong, few are lost, none silently."""
    write(tmp_path, 400, segment_bytes=8_000)
    draw = random.Random(7)
    files = [*tmp_path.glob("*.parquet"), *tmp_path.glob("*.log")]
    for _ in range(1_000):
        path = draw.choice(files)
        content = bytearray(path.read_bytes())
        # The last frame of an open segment has no rows: it only says that those before it are on the device.
        end = frames_of(path)[-1].offset if path.suffix == ".log" else len(content)
        at = draw.randrange(end)
        content[at] ^= 1 << draw.randrange(8)
        rows, damages = damaged(tmp_path, path, bytes(content))
        assert any(path.name in str(each.error) for each in damages)
        lost = set().union(*(range(each.first_row, each.next_row) for each in damages))
        assert rows | lost == set(range(400))
        assert not rows & lost
        if path.suffix == ".log":
            # A damaged key takes the frames behind it along, any other place at most one frame of ten rows.
            assert len(lost) <= (100 if at < frames_of(path)[0].end else 10)


def test_a_reader_refuses_every_damage(tmp_path: Path) -> None:
    """What `salvage` goes around stops a reader and a writer."""
    write(tmp_path, 60)
    path = tmp_path / f"{0:020}.log"
    whole = path.read_bytes()
    for at in random.Random(3).sample(range(frames_of(path)[-1].offset), 100):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises((LogCorruptError, LogKeyError)):
            checked_rows(tmp_path, keys=KEYS)
        with pytest.raises((LogCorruptError, LogKeyError)):
            LogWriter(tmp_path, SCHEMA, keys=KEYS)
        assert path.read_bytes() == bytes(changed)


def _without(frames: list[bytes]) -> list[bytes]:
    return frames[:5] + frames[6:]


def _swapped(frames: list[bytes]) -> list[bytes]:
    return [*frames[:4], frames[6], frames[5], frames[4], *frames[7:]]


def _repeated(frames: list[bytes]) -> list[bytes]:
    return [*frames[:5], frames[4], *frames[5:]]


@pytest.mark.parametrize("change", [_without, _swapped, _repeated])
def test_frames_that_were_removed_exchanged_or_repeated_are_found(
    change: Callable[[list[bytes]], list[bytes]], tmp_path: Path
) -> None:
    """Each frame is whole and carries its checksum; only the chain of tags and the offsets tell."""
    write(tmp_path, 60)
    path = tmp_path / f"{0:020}.log"
    whole = path.read_bytes()
    frames = [whole[frame.offset : frame.end] for frame in frames_of(path)]
    path.write_bytes(b"".join(change(frames)))
    with pytest.raises(LogCorruptError):
        checked_rows(tmp_path, keys=KEYS)


def test_a_synced_frame_may_not_vanish_even_if_row_numbers_fit(tmp_path: Path) -> None:
    """A removed frame without rows leaves row numbers as they were; the chain of tags is what notices."""
    write(tmp_path, 60)
    path = tmp_path / f"{0:020}.log"
    whole = path.read_bytes()
    frames = frames_of(path)
    gone = next(frame for frame in frames if frame.kind == FrameKind.SYNCED)
    path.write_bytes(whole[: gone.offset] + whole[gone.end :])
    with pytest.raises(
        LogCorruptError, match=f"byte {gone.offset}: expected a frame that follows the one before it"
    ):
        checked_rows(tmp_path, keys=KEYS)


def test_frames_of_another_log_are_refused(tmp_path: Path) -> None:
    """The same rows, the same offsets, the same master key, but another log: its segment cannot take the place."""
    for name in ("one", "two"):
        write(tmp_path / name, 60)
    segment = f"{0:020}.log"
    (tmp_path / "one" / segment).write_bytes((tmp_path / "two" / segment).read_bytes())
    with pytest.raises(LogCorruptError, match="high-water"):
        checked_rows(tmp_path / "one", keys=KEYS)


@pytest.mark.parametrize("keep_whole_frames", [True, False])
def test_a_tail_that_was_cut_off_is_found(keep_whole_frames: bool, tmp_path: Path) -> None:
    """The high-water file knows how many rows had been on the device, also where whole frames were cut."""
    write(tmp_path, 60)
    path = tmp_path / f"{0:020}.log"
    frames = frames_of(path)
    os.truncate(path, frames[-3].offset if keep_whole_frames else frames[-3].offset + 50)
    for act in (lambda: checked_rows(tmp_path, keys=KEYS), lambda: LogWriter(tmp_path, SCHEMA, keys=KEYS)):
        with pytest.raises(LogCorruptError, match="60 rows, which were on the device, found 50"):
            act()
    damages = [part for part in salvage(tmp_path, KEYS) if isinstance(part, Damage)]
    assert [(part.first_row, part.next_row) for part in damages] == [(50, 60)]


def test_a_removed_segment_and_key_file_are_named(tmp_path: Path) -> None:
    """Each error names the file that is not there; with it back everything is read."""
    write(tmp_path, 100, segment_bytes=1_500)
    sealed = sorted(tmp_path.glob("*.parquet"))[1]
    for path in (sealed, key_path(sealed), tmp_path / "high_water"):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises((LogCorruptError, LogKeyError), match=path.name):
            checked_rows(tmp_path, keys=KEYS)
        path.write_bytes(content)
    assert checked_rows(tmp_path, keys=KEYS) == 100


def test_a_tail_that_was_not_synced_may_be_lost(tmp_path: Path) -> None:
    """The machine's death takes rows behind the last sync: the log goes on, and says how many bytes were cut."""
    with LogWriter(tmp_path, SCHEMA, keys=KEYS) as writer:
        append(writer, 10)
        writer.sync()
        append(writer, 10)
        path = tmp_path / f"{0:020}.log"
        left = path.read_bytes()[:-7]
        high_water = (tmp_path / "high_water").read_bytes()
    path.write_bytes(left)
    (tmp_path / "high_water").write_bytes(high_water)
    with LogWriter(tmp_path, SCHEMA, keys=KEYS) as writer:
        assert writer.next_row == 10
        assert writer.recovered.cut_bytes > 0
        append(writer, 10)
    assert checked_rows(tmp_path, keys=KEYS) == 20


def test_no_nonce_is_used_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 frames that are cut back, and reopenings: each pair of data key and nonce is new."""
    used: set[tuple[int, bytes]] = set()
    real = frame_encryption.AESGCM

    class Watched:
        """Encrypts as the real cipher does, and notes each nonce with its data key."""

        def __init__(self, key: bytes) -> None:
            self._cipher, self._key = real(key), hash(key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            """Note the nonce, which must be new, and encrypt."""
            assert (self._key, nonce) not in used
            used.add((self._key, nonce))
            return self._cipher.encrypt(nonce, data, associated)

        def decrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            """Decrypt."""
            return self._cipher.decrypt(nonce, data, associated)

    monkeypatch.setattr(frame_encryption, "AESGCM", Watched)
    from order_book_platform.storage.log import log_writer

    write_all, draw = log_writer.write_all, random.Random(5)

    def sometimes_full(descriptor: int, parts: list[memoryview]) -> int:
        """Write half of a frame and report a full disk, every other time."""
        if draw.random() < 0.5:
            os.write(descriptor, parts[0])
            raise OSError(28, "No space left on device")
        return write_all(descriptor, parts)

    small = batch(0, 1)
    rows = tries = 0
    while tries < 10_000:
        monkeypatch.setattr(log_writer, "write_all", write_all)
        with LogWriter(tmp_path, SCHEMA, keys=KEYS) as writer:
            assert writer.next_row == rows
            monkeypatch.setattr(log_writer, "write_all", sometimes_full)
            for _ in range(100):
                tries += 1
                with contextlib.suppress(DiskFullError):
                    writer.append(small, whole=True)
            rows = writer.next_row
            monkeypatch.setattr(log_writer, "write_all", write_all)
    assert len(used) > tries
    assert LogReader(tmp_path, KEYS).next_row() == rows
