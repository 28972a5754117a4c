"""Settings: what a file may say, what the environment may change, and how mistakes are named."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from order_book_platform import settings as settings_module
from order_book_platform.clock import NS_PER_SECOND, duration_text
from order_book_platform.errors import SettingsError
from order_book_platform.model import Instrument
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS
from order_book_platform.settings import (
    OTHER_VARIABLES,
    GapSettings,
    Settings,
    load_settings,
    settings_path,
)

MINIMAL = """
lake_root = "lake"
data_root = "store"
first_day = "2024-08-08"
[[instruments]]
symbol = "BINANCE:BTC-USDT"
"""

KEYS = ", ".join(Settings.model_fields)

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's own `OBP_…` variables stay out of these tests."""
    for name in [name for name in os.environ if name.upper().startswith("OBP_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a settings file and give its path."""

    def settings_file(content: str) -> Path:
        path = tmp_path / "platform.toml"
        path.write_text(content, encoding="utf-8")
        return path

    return settings_file


def test_a_minimal_file_has_defaults_for_the_rest(write: Write) -> None:
    """Roots, first day and one instrument are enough."""
    settings = load_settings(write(MINIMAL))
    assert settings.first_day == date(2024, 8, 8)
    assert settings.instruments[0].instrument == Instrument("BINANCE", "BTC-USDT")
    assert settings.instruments[0].tick is None
    assert settings.sources.max_off_grid_rows == 0
    assert settings.gaps.silence == NS_PER_SECOND
    assert settings.reconstruct.depth == 20
    assert settings.reconstruct.cadence == "change"
    assert settings.features.horizons == (NS_PER_SECOND, 10 * NS_PER_SECOND, 60 * NS_PER_SECOND)


def test_every_value_can_be_set(write: Write) -> None:
    """Durations are text with a unit, ticks are exact decimals."""
    settings = load_settings(
        write(
            """
lake_root = "lake"
data_root = "store"
capture_root = "segments"
first_day = 2024-08-09
[[instruments]]
symbol = "BINANCE:BTC-USDT"
tick = "0.01"
lot = "0.00001"
price_decimals = 2
size_decimals = 5
[sources]
max_off_grid_rows = 3
batch_rows = 1000
[gaps]
silence = "2s"
recover_after = "10s"
crossed_after = "500ms"
snapshot_reach = "1m"
[reconstruct]
strategy = "full_event"
depth = 10
cadence = "grid"
grid = "250ms"
extend_every = 0
[features]
clock = "500ms"
flow_window = "2s"
horizons = ["1s", "5s"]
imbalance_levels = [1, 3]
mlofi_levels = 5
"""
        )
    )
    entry = settings.instruments[0]
    assert (entry.tick, entry.lot) == (Decimal("0.01"), Decimal("0.00001"))
    assert (entry.price_decimals, entry.size_decimals) == (2, 5)
    assert settings.first_day == date(2024, 8, 9)
    assert settings.gaps.crossed_after == NS_PER_SECOND // 2
    assert settings.reconstruct.grid == NS_PER_SECOND // 4
    assert settings.features.horizons == (NS_PER_SECOND, 5 * NS_PER_SECOND)
    assert settings.features.imbalance_levels == (1, 3)


def test_relative_paths_are_relative_to_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the command runs does not matter; absolute paths and ~ stay what they are."""
    path = write(MINIMAL.replace('"store"', '"/srv/store"') + "\n[sources]\nbatch_rows = 7\n")
    monkeypatch.chdir("/")
    settings = load_settings(path)
    assert settings.lake_root == path.parent / "lake"
    assert settings.data_root == Path("/srv/store")
    assert settings.capture_root == path.parent / "captures"
    monkeypatch.setenv("HOME", str(path.parent / "home"))
    monkeypatch.setenv("OBP_LAKE_ROOT", "~/lake")
    assert load_settings(path).lake_root == path.parent / "home" / "lake"


def test_which_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins over `OBP_CONFIG`, which wins over platform.toml in this folder."""
    path = write(MINIMAL)
    monkeypatch.chdir(path.parent)
    assert settings_path() == path
    monkeypatch.setenv("OBP_CONFIG", "/etc/obp.toml")
    assert settings_path() == Path("/etc/obp.toml")
    assert settings_path("mine.toml") == path.parent / "mine.toml"


def test_the_environment_wins_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single values, nested values, lists and whole sections; what is not named stays as in the file."""
    path = write(MINIMAL + "[reconstruct]\ndepth = 10\nextend_every = 3\n[gaps]\nsilence = '2s'\n")
    monkeypatch.setenv("OBP_DATA_ROOT", "elsewhere")
    monkeypatch.setenv("OBP_RECONSTRUCT__EXTEND_EVERY", "5")
    monkeypatch.setenv("OBP_FEATURES__HORIZONS", '["1s", "2s"]')
    monkeypatch.setenv("OBP_GAPS", '{"crossed_after": "3s"}')
    monkeypatch.setenv("OBP_INSTRUMENTS", '[{"symbol": "COINBASE:BTC-USD"}]')
    settings = load_settings(path)
    assert settings.data_root == path.parent / "elsewhere"
    assert (settings.reconstruct.depth, settings.reconstruct.extend_every) == (10, 5)
    assert settings.features.horizons == (NS_PER_SECOND, 2 * NS_PER_SECOND)
    assert (settings.gaps.silence, settings.gaps.crossed_after) == (2 * NS_PER_SECOND, 3 * NS_PER_SECOND)
    assert [entry.symbol for entry in settings.instruments] == ["COINBASE:BTC-USD"]


def test_settings_do_not_change_while_they_are_used(write: Write) -> None:
    """Two components see the same values; a changed copy is another object."""
    settings = load_settings(write(MINIMAL))
    with pytest.raises(ValidationError):
        settings.first_day = date(2020, 1, 1)  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.gaps.silence = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "key", "expected", "found"),
    [
        (MINIMAL.replace('lake_root = "lake"', ""), "lake_root", "a value", "nothing"),
        (MINIMAL.replace('"2024-08-08"', '"soon"'), "first_day", "a UTC day such as 2024-08-08", "'soon'"),
        (MINIMAL.replace('"lake"', "7"), "lake_root", "a folder", "7"),
        (MINIMAL.replace('"lake"', '""'), "lake_root", "a folder", "''"),
        (
            MINIMAL.replace('"store"', '"s3://bucket"'),
            "data_root",
            "a local folder; object-store URLs are not supported yet",
            "'s3://bucket'",
        ),
        (MINIMAL.partition("[[")[0] + "instruments = []", "instruments", "at least one entry", "[]"),
        (
            MINIMAL.replace("[[instruments]]", "[instruments]"),
            "instruments",
            "a list; entries of sections each begin with double brackets, as [[instruments]]",
            "{'symbol': 'BINANCE:BTC-USDT'}",
        ),
        (
            MINIMAL.replace("BINANCE:BTC-USDT", "btcusdt"),
            "instruments.0.symbol",
            "EXCHANGE:SYMBOL, the exchange in capitals, without any of | , [ ] / \\ : * ? or blanks",
            "'btcusdt'",
        ),
        (MINIMAL + "tick = 0", "instruments.0.tick", "more than 0", "0"),
        (MINIMAL + "price_decimals = 19", "instruments.0.price_decimals", "at most 18", "19"),
        (
            MINIMAL + "ticks = 1",
            "instruments.0.ticks",
            "one of symbol, tick, lot, price_decimals, size_decimals, precision",
            "'ticks'",
        ),
        (
            MINIMAL + "precision = 'float'",
            "instruments.0.precision",
            "'auto', 'int64' or 'decimal128'",
            "'float'",
        ),
        (
            MINIMAL + "precision = 'decimal128'\nprice_decimals = 8",
            "instruments.0",
            "price_decimals and size_decimals to be left out with precision decimal128",
            "{'symbol': 'BINANCE:BTC-USDT', 'precision': 'decimal128', 'price_decimals': 8}",
        ),
        (MINIMAL + "[reconstruct]\nextend_every = -1", "reconstruct.extend_every", "at least 0", "-1"),
        (
            MINIMAL + "[reconstruct]\nstrategy = 'fast'",
            "reconstruct.strategy",
            "'auto', 'full_event' or 'snapshot'",
            "'fast'",
        ),
        (
            MINIMAL + "[gaps]\nsilence = '1 day'",
            "gaps.silence",
            "a duration such as '100ms', '1s' or '5m'",
            "'1 day'",
        ),
        (
            MINIMAL + "[gaps]\nsilence = 1.5",
            "gaps.silence",
            "a duration such as '100ms', '1s' or '5m'",
            "1.5",
        ),
        (MINIMAL + "[gaps]\nsilence = '1.5ns'", "gaps.silence", "a whole number of nanoseconds", "'1.5ns'"),
        (MINIMAL + "[gaps]\nsilence = 0", "gaps.silence", "more than 0", "0"),
        (
            MINIMAL + "[features]\nflow_window = '150ms'",
            "features",
            "flow_window to be a multiple of clock",
            "{'flow_window': '150ms'}",
        ),
        (
            MINIMAL + "[features]\nhorizons = ['1s', '1500ms']",
            "features",
            "horizons to be multiples of 1s and of clock",
            "{'horizons': ['1s', '1500ms']}",
        ),
        (
            MINIMAL + "[features]\nclock = '700ms'\nflow_window = '7s'\nhorizons = []",
            "features",
            "clock to be a divisor or a multiple of 1s",
            "{'clock': '700ms', 'flow_window': '7s', 'horizons': []}",
        ),
    ],
)
def test_a_wrong_value_is_named(write: Write, content: str, key: str, expected: str, found: str) -> None:
    """The error says file, key, what was expected and what stands there."""
    path = write(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    error = caught.value
    assert (error.where, error.expected, error.found) == (f"{path}: {key}", expected, found)
    todo = {"nothing": "Add the key", "'ticks'": "Correct the key"}.get(found, "Correct the value")
    assert error.remedy == f"{todo}; docs/settings.md lists every key."


def test_an_unknown_key_lists_the_known_ones(write: Write) -> None:
    """A misspelt key is an error, not a default used in silence."""
    with pytest.raises(
        SettingsError, match=r"gaps\.silense: expected one of silence, recover_after, "
    ) as caught:
        load_settings(write(MINIMAL + "[gaps]\nsilense = '1s'"))
    assert caught.value.found == "'silense'"
    with pytest.raises(SettingsError, match=r"dataroot: expected one of lake_root, data_root, "):
        load_settings(write('dataroot = "x"\n' + MINIMAL))


def test_a_misspelt_key_comes_before_the_one_it_leaves_missing(write: Write) -> None:
    """Of `lake_rot` and the absent `lake_root` the first is what has to be corrected."""
    with pytest.raises(SettingsError, match=r"lake_rot: expected one of lake_root, ") as caught:
        load_settings(write('lake_rot = "lake"\n'))
    assert caught.value.found == "'lake_rot'"
    assert caught.value.remedy.startswith("Correct the key;")


def test_the_same_symbol_twice(write: Write) -> None:
    """Two entries for one symbol would make its settings a matter of order."""
    path = write(MINIMAL + '[[instruments]]\nsymbol = "BINANCE:BTC-USDT"\n')
    with pytest.raises(
        SettingsError, match=r"expected each symbol once, not BINANCE:BTC-USDT twice"
    ) as caught:
        load_settings(path)
    assert caught.value.where == f"{path}: instruments"


def test_one_folder_for_raw_files_and_datasets(write: Write) -> None:
    """Both roots know a table `trades`: published trades would replace the raw ones."""
    path = write(MINIMAL.replace('"store"', '"x/../lake"'))
    with pytest.raises(SettingsError, match=r"expected data_root and lake_root to be two folders") as caught:
        load_settings(path)
    assert caught.value.where == f"{path}: data_root"


def test_several_problems_are_counted(write: Write) -> None:
    """The first is told in full; the reader learns that more will follow."""
    path = write(MINIMAL.replace('"lake"', "7") + "tick = 0\nlot = 0\n")
    with pytest.raises(SettingsError, match=r" \(Problems after this one: 2\.\)$"):
        load_settings(path)


def test_a_long_value_is_cut(write: Write) -> None:
    """A pasted file does not flood the terminal."""
    path = write(MINIMAL.replace("2024-08-08", "x" * 5_000))
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert len(caught.value.found) == 201
    assert caught.value.found.endswith("…")


@pytest.mark.parametrize(
    ("variable", "value", "where", "expected"),
    [
        (
            "OBP_RECONSTRUCT__EXTEND_EVERY",
            "-5",
            "environment variable OBP_RECONSTRUCT__EXTEND_EVERY (reconstruct.extend_every)",
            "at least 0",
        ),
        (
            "obp_data_root",
            "gs://bucket",
            "environment variable obp_data_root (data_root)",
            "a local folder; object-store URLs are not supported yet",
        ),
        (
            "OBP_FEATURES__HORIZONS",
            '["1s", "x"]',
            "environment variable OBP_FEATURES__HORIZONS (features.horizons.1)",
            "a duration such as '100ms', '1s' or '5m'",
        ),
        (
            "OBP_FEATURES__HORIZONS",
            "1s",
            "environment variable OBP_FEATURES__HORIZONS",
            "JSON for a list or a section",
        ),
        (
            "OBP_GAPS__SILENT",
            "1s",
            "environment variable OBP_GAPS__SILENT (gaps.silent)",
            "one of silence, recover_after, crossed_after, snapshot_reach, unusable_share",
        ),
        ("OBP_GAPS", "[1]", "environment variable OBP_GAPS (gaps)", "a section of keys"),
        (
            "OBP_INSTRUMENTS",
            '"BINANCE:BTC-USDT"',
            "environment variable OBP_INSTRUMENTS (instruments)",
            "a list",
        ),
        ("OBP_DATAROOT", "/data", "environment variable OBP_DATAROOT", f"OBP_ and one of {KEYS}"),
        ("obp_gap__silence", "1s", "environment variable obp_gap__silence", f"OBP_ and one of {KEYS}"),
    ],
)
def test_a_wrong_variable_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, where: str, expected: str
) -> None:
    """Where the environment is at fault, the error does not send the reader to the file."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings(write(MINIMAL))
    assert (caught.value.where, caught.value.expected) == (where, expected)


@pytest.mark.parametrize("variable", sorted(OTHER_VARIABLES))
def test_variables_that_set_nothing(write: Write, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """What only tests and benchmarks read is no misspelt key."""
    monkeypatch.setenv(variable, "elsewhere")
    assert load_settings(write(MINIMAL)).reconstruct.depth == 20


def test_values_that_contradict_each_other_name_both_places(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock from the environment against a window from the file: both are told."""
    path = write(MINIMAL)
    monkeypatch.setenv("OBP_FEATURES__CLOCK", "300ms")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert caught.value.where == f"{path}: features with OBP_FEATURES__CLOCK from the environment"


def test_no_file(tmp_path: Path) -> None:
    """The error says which file was looked for and how to name another."""
    path = tmp_path / "platform.toml"
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(caught.value) == (
        f"{path}: expected a settings file, found nothing. "
        "Pass --config FILE, set OBP_CONFIG, or run where platform.toml is."
    )


@pytest.mark.parametrize("content", [b"lake_root = ", b"\xff\xfe", b"[a]\n[a]\n"])
def test_an_unreadable_file(tmp_path: Path, content: bytes) -> None:
    """Broken TOML and other bytes are named with what the reader stumbled over."""
    path = tmp_path / "platform.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="expected readable TOML, found ") as caught:
        load_settings(path)
    assert caught.value.where == str(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Naming the folder instead of the file is a mistake of the user, not a crash."""
    with pytest.raises(SettingsError, match=r"expected readable TOML, found .*directory"):
        load_settings(tmp_path)


def test_instrument_lookup(write: Write) -> None:
    """Settings of a listed symbol, and the list for one that is not."""
    settings = load_settings(write(MINIMAL + 'tick = "0.5"\n'))
    assert settings.instrument(Instrument("BINANCE", "BTC-USDT")).tick == Decimal("0.5")
    with pytest.raises(
        SettingsError, match="symbol: expected one of BINANCE:BTC-USDT, found BINANCE:ETH-USDT"
    ):
        settings.instrument(Instrument("BINANCE", "ETH-USDT"))


def test_the_projects_own_file() -> None:
    """platform.toml of this project loads, and lists what the demo simulates."""
    path = Path(__file__).parents[1] / "platform.toml"
    settings = load_settings(path)
    assert [entry.symbol for entry in settings.instruments] == [
        "SIMULATED:BTC-USDT-PERP",
        "SIMULATED:ETH-USDT",
    ]
    assert settings.data_root == path.parent / "data" / "store"
    assert isinstance(settings, Settings)


def flat(section: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key of a section and of those inside it, with its default."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        inner = next((kind for kind in kinds if issubclass(kind, BaseModel)), None)
        if inner is None or field.is_required():
            found[prefix + name] = "required" if field.is_required() else field.default
        if inner is not None:
            found |= flat(inner, f"{prefix}{name}.")
    return found


def written(key: str, default: object) -> str:
    """A default as docs/settings.md writes it."""
    if default == "required":
        return "required"
    if key in ("capture.metrics_port", "capture.key_file"):
        return "none"
    if default is None:
        return f"`{DEFAULT_DECIMALS}`, fewer or more if needed" if key.endswith("_decimals") else "detected"
    gaps = (name for name, field in GapSettings.model_fields.items() if isinstance(field.default, int))
    durations = (*(f"gaps.{name}" for name in gaps), "reconstruct.grid", "reconstruct.warm_up")
    durations += ("reconstruct.checkpoint_interval", "streaming.stall_after")
    kept = ("snapshot_every", "rules_every", "rotate_after", "start_within", "clock_every", "clock_warning")
    durations += tuple(f"capture.{name}" for name in (*kept, "max_clock_offset"))
    if key in ("capture.buffer", "capture.segment"):
        return f"`{int(str(default)) // 10**6}MB`"
    if key == "streaming.memory_limit":
        return f"`{int(str(default)) // 10**9}GB`"
    if key in (*durations, "features.clock", "features.flow_window"):
        return f"`{duration_text(int(str(default)))}`"
    if key == "features.horizons":
        assert isinstance(default, tuple)
        default = [duration_text(each) for each in default]
    return f"`{default}`" if isinstance(default, Path | str) else f"`{json.dumps(default)}`"


def test_the_documentation_lists_every_key_with_its_default() -> None:
    """A key or a default that changes without docs/settings.md is noticed here."""
    text = (Path(__file__).parents[1] / "docs" / "settings.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", text, flags=re.MULTILINE))
    assert listed == {key: written(key, default) for key, default in flat(Settings).items()}


def test_every_key_is_described_in_the_code() -> None:
    """Each field of the settings and of their sections has a docstring; sections are described by their class."""
    module = ast.parse(Path(settings_module.__file__).read_text(encoding="utf-8"))
    missing = []
    for section in (each for each in module.body if isinstance(each, ast.ClassDef)):
        for field, after in itertools.pairwise([*section.body, section.body[0]]):
            if isinstance(field, ast.AnnAssign) and not ast.unparse(field.annotation).endswith("Settings"):
                described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if not described:
                    missing.append(f"{section.name}.{ast.unparse(field.target)}")
    assert missing == []
