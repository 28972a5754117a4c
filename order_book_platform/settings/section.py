"""The base class of all sections of the settings, the type of their durations, and the section `capture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, field_validator

from order_book_platform.clock import NS_PER_SECOND, duration_ns

Duration = Annotated[int, BeforeValidator(duration_ns), Field(gt=0)]
"""A duration in int64 ns; in the file it is written as `"100ms"`, `"1s"` or `"5m"`."""


class Section(BaseModel):
    """Base of the sections: unknown keys are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CaptureSettings(Section):
    """Section `capture`: what a live capture records, and within which limits. Durations are int64 ns."""

    streams: tuple[str, ...] = ("depth", "bookTicker", "trade")
    """Streams of each symbol, as Binance calls them; `depth` is the one that books are made from."""
    routes: dict[str, str] = Field(default={})
    """Route of the connection of a stream where it is another than the market's usual one; empty for none."""
    streams_per_connection: int = Field(default=200, ge=1, le=1024)
    """Most streams of one connection; the exchange allows 1024."""
    snapshot_depth: int = Field(default=1000, ge=5, le=5000)
    """Levels a side of a depth snapshot."""
    snapshot_every: Duration = 600 * NS_PER_SECOND
    """Time between two depth snapshots of a symbol, beside those that are needed."""
    rules_every: Duration = 24 * 3600 * NS_PER_SECOND
    """Time between two requests for the rules of the instruments."""
    weight_per_minute: int = Field(default=1000, ge=100)
    """Request weight that this process may use in a minute; captures of USD-M and COIN-M share 2400 of one address."""
    rotate_after: Duration = 23 * 3600 * NS_PER_SECOND
    """Age at which a connection is replaced; the exchange ends it at 24 hours."""
    start_within: Duration = 30 * NS_PER_SECOND
    """A capture to which the exchange has not answered by then ends with an error."""
    buffer: ByteSize = Field(default=ByteSize(160_000_000), ge=1_000_000)
    """Memory of rows that wait for the disk, bytes; what does not fit is dropped and recorded as a gap."""
    segment: ByteSize = Field(default=ByteSize(100_000_000), ge=1_000_000)
    """Bytes after which a segment of the raw log is sealed; it is at each hour, too."""
    key_file: Path | None = None
    """File of the master keys that encrypt the log, unless `OBP_CAPTURE_KEYS` has some; without both it is readable."""
    clock_source: Literal["auto", "chrony", "sntp", "none"] = "auto"
    """Where the offset of the wall clock comes from; `auto` takes chrony where it runs, else SNTP."""
    ntp_servers: tuple[str, ...] = ("time.cloudflare.com", "pool.ntp.org")
    """Hosts for SNTP, each with an optional `:port`, in order of preference."""
    clock_every: Duration = 300 * NS_PER_SECOND
    """Time between two measurements of the offset."""
    clock_warning: Duration = NS_PER_SECOND // 20
    """A greater offset of the wall clock is reported."""
    max_clock_offset: Duration = 3600 * NS_PER_SECOND
    """A capture does not begin where the wall clock differs from the exchange's by more."""
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port on 127.0.0.1 of Prometheus metrics (`/metrics`) and health (`/healthz`); without it there are none."""

    @field_validator("streams")
    @classmethod
    def _streams_are_there(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("at least one stream, each once")
        return value
