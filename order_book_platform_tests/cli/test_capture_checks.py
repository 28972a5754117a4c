"""What `obp doctor` says about captures: state, keys, disk and clock, and nothing that takes long."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from order_book_platform.capture import clock_offset_sources
from order_book_platform.capture.clock_offset_sources import ClockOffset
from order_book_platform.cli import capture_checks
from order_book_platform.cli.capture_checks import check_capture_disk, check_captures, check_clock_offset
from order_book_platform.cli.doctor_finding import Finding
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.settings import CaptureSettings, Settings, load_settings
from order_book_platform.storage import LogWriter
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform_tests.lake import write_settings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.sources.binance.raw_rows import START_NS, RawRows

CLOCK = ManualClock(START_NS + 100 * NS_PER_SECOND)


class Usage(NamedTuple):
    """Disk usage as the system tells it, in bytes."""

    total: int
    used: int
    free: int


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose clock has no source, and without the keys that the caller may have."""
    for name in ("OBP_CAPTURE__KEY_FILE", "OBP_CAPTURE_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return load_settings(write_settings(tmp_path, capture={"clock_source": "none"}))


def writer_of(settings: Settings, name: str = "usdm", keys: MasterKeys | None = None) -> LogWriter:
    """Write a capture of half a minute; returns its writer, which is still at work."""
    rows = RawRows()
    rows.message(1, {"e": "depthUpdate"})
    rows.now_ns += 30 * NS_PER_SECOND
    rows.message(1, {"e": "depthUpdate"})
    writer = LogWriter(settings.capture_root / name / "raw", rows.batch().schema, keys=keys)
    writer.append(rows.batch())
    return writer


def found(settings: Settings, clock: ManualClock = CLOCK) -> dict[str, Finding]:
    """Run the checks; findings by their names."""
    return {each.check: each for each in check_captures(settings, clock)}


def test_without_captures_nothing_is_wrong(settings: Settings) -> None:
    """No capture is no warning; that they would not be encrypted is said anyway, and nothing is made."""
    checks = found(settings)
    assert {each.status for each in checks.values()} == {"ok"}
    assert checks["capture keys"].found == "captures are not encrypted"
    assert checks["clock offset"].found.startswith("not known: ")
    assert not settings.capture_root.exists()


def test_a_capture_at_work(settings: Settings) -> None:
    """Its last row, its age, and that it is recorded; without keys that is a warning; a day is estimated."""
    with writer_of(settings):
        checks = found(settings)
        assert "being recorded, last row 2024-08-09T00:00:30Z, 69 s old" in checks["capture usdm"].found
        assert checks["capture usdm"].status == "ok"
        assert (checks["capture keys"].status, checks["clock offset"].status) == ("warn", "warn")
        assert "a day takes 4.2 MB, as measured" in checks["capture disk"].found
        late = found(settings, ManualClock(START_NS + 600 * NS_PER_SECOND))["capture usdm"]
        assert (late.status, late.remedy) == ("warn", "It hangs, or gets nothing: look at its log.")
    stopped = found(settings, ManualClock(START_NS + 600 * NS_PER_SECOND))["capture usdm"]
    assert stopped.status == "ok"
    assert "not being recorded" in stopped.found


def test_keys(settings: Settings, tmp_path: Path) -> None:
    """With its keys an encrypted capture is read; without them it is named; a file that is open to others fails."""
    keys = MasterKeys.new("test")
    keys.save(tmp_path / "keys.json")
    writer_of(settings, keys=keys).close()
    locked = found(settings)["capture usdm"]
    assert locked.status == "warn"
    assert locked.found.startswith("cannot be read: ")
    with_keys = settings.model_copy(
        update={"capture": settings.capture.model_copy(update={"key_file": tmp_path / "keys.json"})}
    )
    checks = found(with_keys)
    assert checks["capture keys"].found == f"{tmp_path / 'keys.json'}: 1 keys, {keys.active} active"
    assert checks["capture usdm"].status == "ok"
    (tmp_path / "keys.json").chmod(0o644)
    assert found(with_keys)["capture keys"].status == "fail"


@pytest.mark.parametrize(("free", "status"), [(10**3, "warn"), (10**12, "ok")])
def test_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    """Less than a day at the measured rate is a warning."""
    writer_of(settings).close()
    state = capture_checks.capture_state(settings.capture_root / "usdm" / "raw", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**13, 0, free))
    assert check_capture_disk(settings.capture_root, [state]).status == status


def test_a_day_is_measured_by_what_is_sealed(settings: Settings) -> None:
    """Open segments take several times as much, and an hour at most: they would tell too large a day."""
    raw = settings.capture_root / "usdm" / "raw"
    writer_of(settings).close()
    state = capture_checks.capture_state(raw, None)
    assert "segments take about a tenth" in check_capture_disk(raw, [state]).found
    writer_of(settings).close(seal=True)
    writer_of(settings).close()
    state = capture_checks.capture_state(raw, None)
    assert 0 < state.sealed_bytes < state.bytes
    assert state.first_ns is not None
    assert state.sealed_ns is not None
    assert state.bytes_per_day == state.sealed_bytes * 86_400e9 / (state.sealed_ns - state.first_ns)
    assert "segments take about a tenth" not in check_capture_disk(raw, [state]).found


def test_too_little_to_tell(settings: Settings) -> None:
    """A log without rows says nothing about a day."""
    (settings.capture_root / "usdm" / "raw").mkdir(parents=True)
    checks = found(settings)
    assert checks["capture usdm"].found == "no rows yet, not being recorded"
    assert "too little is captured" in checks["capture disk"].found


@pytest.mark.parametrize(("offset_ns", "status"), [(3_000_000, "ok"), (-80_000_000, "warn")])
def test_offset(monkeypatch: pytest.MonkeyPatch, offset_ns: int, status: str) -> None:
    """A clock that is off by more than the setting is a warning, with the figure and its source."""
    measured = ClockOffset(offset_ns, 200_000, "chrony")
    monkeypatch.setattr(clock_offset_sources, "measure", lambda *_: measured)
    finding = check_clock_offset(CaptureSettings(), CLOCK, has_captures=True)
    assert finding.status == status
    assert finding.found == f"{offset_ns / 1e6:+.1f} ± 0.2 ms by chrony"


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A source that answers only when the test is over."""
    over = threading.Event()

    def measure(*_: object) -> str:
        over.wait()
        return "too late"

    monkeypatch.setattr(clock_offset_sources, "measure", measure)
    yield measure
    over.set()


def test_a_source_that_hangs(stuck: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer is not waited for."""
    monkeypatch.setattr(capture_checks, "CLOCK_WITHIN_S", 0.05)
    finding = check_clock_offset(CaptureSettings(), CLOCK, has_captures=False)
    assert (finding.status, finding.found) == ("ok", "not known: no answer within 0 s")
