"""Settings: one TOML file, every value also as `OBP_…` in the environment, validated before anything runs.

Names of sections and keys join with two underscores, as in `OBP_RECONSTRUCT__EXTEND_EVERY=10`; lists are written as
JSON. Relative paths are relative to the file. Durations are text with a unit in the file and int64 ns in memory.
docs/settings.md lists every key with its default and meaning, and a test holds it to these classes.

In: the file and the environment. Out: `Settings`, or an error that names the key.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    ByteSize,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariableError

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import SettingsError
from order_book_platform.model import Instrument
from order_book_platform.model.arrays import DEPTH
from order_book_platform.settings.section import CaptureSettings as CaptureSettings
from order_book_platform.settings.section import Duration, Section

DEFAULT_FILE = "platform.toml"
OTHER_VARIABLES = frozenset(
    {"OBP_CONFIG", "OBP_CAPTURE_KEYS", "OBP_RECORDINGS", "OBP_EXAMPLES", "OBP_CRASHES"}
)
"""Variables that set no value: the settings file, the master keys, and options of tests and benchmarks."""


class InstrumentSettings(Section):
    """One entry of `[[instruments]]`; values that are left out are detected from the data and audited."""

    symbol: str
    """Exchange and symbol in the spelling of Crypto Lake, such as `BINANCE_FUTURES:BTC-USDT-PERP`."""
    tick: Decimal | None = Field(default=None, gt=0)
    """Price increment, in units of price."""
    lot: Decimal | None = Field(default=None, gt=0)
    """Size increment, in units of size."""
    price_decimals: int | None = Field(default=None, ge=0, le=18)
    """Decimal places of a price pip."""
    size_decimals: int | None = Field(default=None, ge=0, le=18)
    """Decimal places of a size pip."""
    precision: Literal["auto", "int64", "decimal128"] = "auto"
    """Prices and sizes as `int64` pips or as `decimal128`; `auto` takes decimals only for a day that needs them."""

    @field_validator("symbol")
    @classmethod
    def _symbol_parses(cls, value: str) -> str:
        try:
            return Instrument.parse(value).key
        except SettingsError as error:
            raise ValueError(f"expected {error.expected}") from error

    @model_validator(mode="after")
    def _decimals_are_of_pips(self) -> InstrumentSettings:
        if self.precision == "decimal128" and self.has_decimals:
            raise ValueError("price_decimals and size_decimals to be left out with precision decimal128")
        return self

    @property
    def has_decimals(self) -> bool:
        """Whether decimal places of pips are set for price or size."""
        return (self.price_decimals, self.size_decimals) != (None, None)

    @property
    def instrument(self) -> Instrument:
        """The parsed symbol."""
        return Instrument.parse(self.symbol)


class SourceSettings(Section):
    """Section `sources`: how raw files are read."""

    max_off_grid_rows: int = Field(default=0, ge=0)
    """Number of prices and sizes that may be no decimal with that many places; one more refuses the partition."""
    batch_rows: int = Field(default=1_000_000, ge=1)
    """Number of rows decoded at a time; bounds memory and never changes a result."""


class GapSettings(Section):
    """Section `gaps`: when something counts as a gap, and what class it gets. Durations are int64 ns."""

    silence: Duration = NS_PER_SECOND
    """A longer time without a message is an inferred gap."""
    recover_after: Duration = 5 * NS_PER_SECOND
    """A silence up to this is small and only flags rows; a longer one is recovered from the next snapshot."""
    crossed_after: Duration = 2 * NS_PER_SECOND
    """A book crossed for longer than this is an inferred gap: levels are evicted, and the next snapshot repairs it."""
    snapshot_reach: Duration = 60 * NS_PER_SECOND
    """If no usable snapshot comes within this after a gap, the book is corrupt until one comes."""
    unusable_share: float = Field(default=0.5, gt=0, le=1)
    """Share of at least 10 compared snapshots that contradict the book from which on a day's deltas are unusable."""


class ReconstructSettings(Section):
    """Section `reconstruct`: how books are rebuilt and which rows are written. Durations are int64 ns."""

    strategy: Literal["auto", "full_event", "snapshot"] = "auto"
    """`auto` takes what the assessment recommends; `full_event` replays deltas, `snapshot` shows snapshots alone."""
    depth: int = Field(default=DEPTH, ge=1, le=100)
    """Number of visible levels a side."""
    cadence: Literal["change", "message", "grid"] = "change"
    """A row is written after each message that changed the visible book, after every message, or on a fixed grid."""
    grid: Duration = NS_PER_SECOND // 10
    """Time between two rows of cadence `grid`."""
    extend_every: int = Field(default=10, ge=0)
    """Every n-th snapshot after the seed may extend or repair the book, the others stay evidence; 0 takes none.

    With strategy `snapshot` it is the other way round: every n-th stays evidence.
    """
    continue_previous_day: bool = False
    """Whether a day starts from the closing state of the day before; makes days depend on each other."""
    warm_up: Duration = 600 * NS_PER_SECOND
    """A book that no snapshot has seeded counts as seeded after this; until a snapshot does, no level is known."""
    checkpoint_events: int = Field(default=1_000_000, ge=0)
    """A checkpoint is taken at the end of a part after so many deltas since the last; 0 takes none."""
    checkpoint_interval: Duration = 300 * NS_PER_SECOND
    """A checkpoint is also taken at the end of a part after this time, however few deltas there were."""


class StreamingSettings(Section):
    """Section `streaming`: the memory that a stream may use, and when it counts as stuck."""

    memory_limit: ByteSize = Field(default=ByteSize(4_000_000_000), gt=0)
    """Memory of the whole process, bytes. From 70 % of it on batches get smaller, from 80 % caches are dropped, from
    90 % on items that wait between stages go to disk."""
    stall_after: Duration = 300 * NS_PER_SECOND
    """A stage that works on one step for longer (ns) has stalled; the stream begins again from its last checkpoint."""
    restarts: int = Field(default=3, ge=0)
    """Number of such restarts, after which the run fails and says where it hung."""


class FeatureSettings(Section):
    """Section `features`: sampling clock, windows and levels of `rl_features`. Durations are int64 ns."""

    clock: Duration = NS_PER_SECOND // 10
    """Time between two rows; a divisor or a multiple of one second."""
    flow_window: Duration = NS_PER_SECOND
    """Window over which order flow (ofi, mlofi, tfi) is summed; a multiple of `clock`."""
    horizons: tuple[Duration, ...] = (NS_PER_SECOND, 10 * NS_PER_SECOND, 60 * NS_PER_SECOND)
    """Look-back of returns and realised volatility; multiples of one second and of `clock`."""
    imbalance_levels: tuple[int, ...] = (1, 5, 10, 20)
    """Numbers of best levels k that each column `qi_k` sums."""
    mlofi_levels: int = Field(default=10, ge=1)
    """Number of levels with an order flow of their own, the columns `mlofi_m`."""

    @model_validator(mode="after")
    def _multiples(self) -> FeatureSettings:
        if self.flow_window % self.clock:
            raise ValueError("flow_window to be a multiple of clock")
        if any(horizon % NS_PER_SECOND or horizon % self.clock for horizon in self.horizons):
            raise ValueError("horizons to be multiples of 1s and of clock")
        if NS_PER_SECOND % self.clock and self.clock % NS_PER_SECOND:
            raise ValueError("clock to be a divisor or a multiple of 1s")
        if not self.imbalance_levels or min(self.imbalance_levels) < 1:
            raise ValueError("imbalance_levels to be counts of at least 1")
        for name in ("imbalance_levels", "horizons"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} to differ from each other")
        return self


class Settings(BaseSettings):
    """The whole of `platform.toml`."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="OBP_", env_nested_delimiter="__"
    )

    lake_root: Path
    """Folder of raw files in the layout of Crypto Lake."""
    data_root: Path
    """Folder in which datasets are published."""
    capture_root: Path = Path("captures")
    """Folder of the segments of the live capture."""
    first_day: date
    """First daily partition, a UTC day."""
    instruments: tuple[InstrumentSettings, ...]
    """At least one instrument, each symbol once."""
    sources: SourceSettings = SourceSettings()
    gaps: GapSettings = GapSettings()
    reconstruct: ReconstructSettings = ReconstructSettings()
    streaming: StreamingSettings = StreamingSettings()
    capture: CaptureSettings = CaptureSettings()
    features: FeatureSettings = FeatureSettings()

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # the others are not looked at
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come as arguments of the constructor."""
        return env_settings, init_settings

    @field_validator("lake_root", "data_root", "capture_root", mode="before")
    @classmethod
    def _local(cls, value: object) -> object:
        if isinstance(value, str) and "://" in value:
            raise ValueError("expected a local folder; object-store URLs are not supported yet")
        if value == "":
            raise ValueError("expected a folder")
        return value

    @field_validator("instruments", mode="before")
    @classmethod
    def _a_list(cls, value: object) -> object:
        if isinstance(value, dict):
            raise ValueError(
                "a list; entries of sections each begin with double brackets, as [[instruments]]"
            )
        return value

    @field_validator("instruments")
    @classmethod
    def _symbols_differ(cls, value: tuple[InstrumentSettings, ...]) -> tuple[InstrumentSettings, ...]:
        if not value:
            raise ValueError("expected at least one entry")
        symbols = [entry.symbol for entry in value]
        twice = next((symbol for at, symbol in enumerate(symbols) if symbol in symbols[:at]), None)
        if twice is not None:
            raise ValueError(f"expected each symbol once, not {twice} twice")
        return value

    def instrument(self, instrument: Instrument) -> InstrumentSettings:
        """Return the settings of one instrument; that it is not listed is a `SettingsError`."""
        for entry in self.instruments:
            if entry.instrument == instrument:
                return entry
        raise SettingsError(
            expected="one of " + ", ".join(entry.symbol for entry in self.instruments),
            found=instrument.key,
            where="symbol",
            remedy="Choose a listed symbol or add an [[instruments]] entry to the settings file.",
        )


def settings_path(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the settings file in force: the argument, `OBP_CONFIG`, or `platform.toml` in the current folder."""
    return Path(path or os.environ.get("OBP_CONFIG") or DEFAULT_FILE).resolve()


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Read and validate the settings in the file that `settings_path` gives.

    A file that is missing or is not TOML, and a wrong value, are a `SettingsError`, which names file and key.
    """
    file = settings_path(path)
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(
            expected="a settings file",
            found="nothing",
            where=str(file),
            remedy="Pass --config FILE, set OBP_CONFIG, or run where platform.toml is.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            expected="readable TOML", found=str(error), where=str(file), remedy="Correct the file."
        ) from error
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _settings_error(error, file) from error
    except UnreadableVariableError as error:
        raise _unreadable_variable(error) from error
    folders = ("lake_root", "data_root", "capture_root")
    absolute = {name: (file.parent / getattr(settings, name).expanduser()).resolve() for name in folders}
    settings = settings.model_copy(update=absolute)
    if settings.capture.key_file is not None:
        key_file = (file.parent / settings.capture.key_file.expanduser()).resolve()
        capture = settings.capture.model_copy(update={"key_file": key_file})
        settings = settings.model_copy(update={"capture": capture})
    if settings.data_root == settings.lake_root:
        raise SettingsError(
            expected="data_root and lake_root to be two folders",
            found=f"{settings.data_root} for both",
            where=f"{file}: data_root",
            remedy="Choose another data_root: published trades would replace the raw ones.",
        )
    return settings


def _refuse_unknown_variables() -> None:
    """Refuse a misspelt variable as a misspelt key is refused; pydantic would ignore it."""
    known = {f"OBP_{name}".upper() for name in Settings.model_fields} | OTHER_VARIABLES
    for name, value in sorted(os.environ.items()):
        key = name.upper()
        if key.startswith("OBP_") and key.partition("__")[0] not in known:
            raise SettingsError(
                expected="OBP_ and one of " + ", ".join(Settings.model_fields),
                found=repr(value),
                where=f"environment variable {name}",
                remedy="Correct or unset the variable; docs/settings.md lists every key.",
            )


def _settings_error(error: ValidationError, file: Path) -> SettingsError:
    """Make the error about the first problem in full; the others are counted.

    A misspelt key comes first, since the key that is missing for it only says what follows from that.
    """
    problems = error.errors()
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    location = tuple(str(part) for part in first["loc"])
    found = {"missing": "nothing", "extra_forbidden": repr(location[-1])}.get(
        first["type"], repr(first["input"])
    )
    todo = {"missing": "Add the key", "extra_forbidden": "Correct the key"}.get(
        first["type"], "Correct the value"
    )
    more = f" (Problems after this one: {len(problems) - 1}.)" if len(problems) > 1 else ""
    return SettingsError(
        expected=_expectation(first),
        found=found if len(found) < 200 else found[:200] + "…",
        where=_place(location, file),
        remedy=f"{todo}; docs/settings.md lists every key.{more}",
    )


_EXPECTATIONS = {
    "missing": "a value",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "model_type": "a section of keys",
    "tuple_type": "a list",
    **dict.fromkeys(("date_parsing", "date_from_datetime_parsing"), "a UTC day such as 2024-08-08"),
    "path_type": "a folder",
}
"""Pydantic's kind of problem to what was expected, where pydantic's own words are for programmers."""


def _expectation(problem: ErrorDetails) -> str:
    """Say what was expected, in words that follow "expected"."""
    if problem["type"] == "extra_forbidden":
        return "one of " + ", ".join(_keys(problem["loc"][:-1]))
    if problem["type"] in _EXPECTATIONS:
        return _EXPECTATIONS[problem["type"]].format(**problem.get("ctx", {}))
    message = problem["msg"].removeprefix("Value error, ")
    return message.removeprefix("expected ").removeprefix("Input should be ").removeprefix("Input should ")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """List the keys of the section at `location`."""
    section: Any = Settings
    for part in location:
        if isinstance(part, str):
            kind = section.model_fields[part].annotation
            section = next((inner for inner in get_args(kind) if inner is not Ellipsis), kind)
    return list(section.model_fields)


def _place(location: tuple[str, ...], file: Path) -> str:
    """Name file and key, or the variable that set the key or a section around it."""
    key = ".".join(location) or "settings"
    present = {name.upper(): name for name in sorted(os.environ)}
    for length in range(len(location), 0, -1):
        name = "OBP_" + "__".join(location[:length]).upper()
        if name in present:
            return f"environment variable {present[name]} ({key})"
    inside = "OBP_" + "__".join((*location, "")).upper()
    below = [name for upper, name in present.items() if location and upper.startswith(inside)]
    return f"{file}: {key}" + (f" with {', '.join(below)} from the environment" if below else "")


def _unreadable_variable(error: UnreadableVariableError) -> SettingsError:
    """Make the error about a list or section in the environment that is not JSON."""
    name = re.search(r'field "(\w+)"', str(error))
    prefix = f"OBP_{name[1] if name else ''}".upper()
    variables = [variable for variable in sorted(os.environ) if variable.upper().startswith(prefix)]
    return SettingsError(
        expected="JSON for a list or a section",
        found=str(error.__cause__ or error),
        where="environment variable " + " or ".join(variables),
        remedy='Write a list as ["1s", "10s"]; single values go alone: OBP_RECONSTRUCT__EXTEND_EVERY=5.',
    )
