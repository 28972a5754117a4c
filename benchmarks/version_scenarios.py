"""What two versions of the platform are compared on: simulated days, recorded days, and the settings they run with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BOOKS = ("LakeIngest", "GapReporter", "DataAssessor", "Reconstructor")
"""Components up to `reconstructed_books`, in the order of the data."""
ALL_ASSETS = (*BOOKS, "FidelityReporter", "FeatureBuilder")

Day = tuple[str, str]
"""Symbol and UTC day, as the command line takes them."""

PERPETUAL, SPOT, COIN_MARGINED = "SIMULATED:BTC-USDT-PERP", "SIMULATED:ETH-USDT", "SIMULATED:BTC-USD-PERP"
RECORDINGS = "recordings"
"""Name of the lake that is not simulated."""

DEMO: dict[Day, str] = {
    (symbol, day): "" for symbol in (PERPETUAL, SPOT) for day in ("2024-08-08", "2024-08-09")
}
"""The days of `make demo`, in its order, to their faults: none."""
FAULTY: dict[Day, str] = {
    (PERPETUAL, "2024-08-10"): "drop=16",
    (PERPETUAL, "2024-08-11"): "silence=4x4s",
    (PERPETUAL, "2024-08-12"): "crossed=2x3s",
    (PERPETUAL, "2024-08-13"): "ghost=20",
    (SPOT, "2024-08-10"): "bad_snapshots=20",
    (SPOT, "2024-08-11"): "duplicates=200",
    (SPOT, "2024-08-12"): "unsorted=200",
    (COIN_MARGINED, "2024-08-10"): "clock_skew=5s",
    (COIN_MARGINED, "2024-08-11"): "drop=3,silence=2x6s,ghost=5,bad_snapshots=5,duplicates=20",
}
"""Days with every fault that the simulator knows, over its three markets."""
SIMULATED = {"demo": DEMO, "faulty": FAULTY}
"""Lake to its days, each with its faults. The place of a day in its lake, counted from 1, is its seed."""

RECORDED: tuple[Day, ...] = (
    ("BINANCE:BTC-USDT", "2024-08-08"),
    ("BINANCE:BTC-USDT", "2024-08-09"),
    ("BINANCE_DELIVERY:BTC-USD-PERP", "2024-08-08"),
    ("BINANCE_DELIVERY:BTC-USD-PERP", "2024-08-09"),
    ("BINANCE_FUTURES:BTC-USDT-PERP", "2024-08-08"),
)

CADENCES: tuple[Mapping[str, object], ...] = (
    {"cadence": "change"},
    {"cadence": "message"},
    {"cadence": "grid", "grid": "100ms"},
)
EXTENSIONS = (10, 3)
"""Every n-th snapshot extends or repairs the book."""
ANOTHER_BATCH_ROWS = 4_321


@dataclass(frozen=True)
class Scenario:
    """Days that run with the same settings into a store of their own.

    Attributes:
        name: also of its folder.
        lake: where the days come from: a key of `SIMULATED`, or `RECORDINGS`.
        days: what is made, in this order.
        assets: components that run for each day.
        instrument: keys of every `[[instruments]]` entry, besides the symbol.
        sections: other sections of the settings file.
        by_command: days that `obp materialize` makes, with all six assets, instead of the components.
        asked: a day and a time of it (UTC) for commands that look at lake and store; else only `obp verify` does.
    """

    name: str
    lake: str
    days: Sequence[Day]
    assets: Sequence[str] = ALL_ASSETS
    instrument: Mapping[str, object] = field(default_factory=dict)
    sections: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    by_command: Sequence[Day] = ()
    asked: tuple[Day, str] | None = None

    @property
    def questions(self) -> list[list[str]]:
        """Commands to run when all is made, without their option `--json`."""
        # Batches of another size than the run's have to give the same rows.
        found = [["verify", *of_day(self.days[-1]), "--batch-rows", str(ANOTHER_BATCH_ROWS)]]
        if self.asked:
            day, time = self.asked
            found += [
                ["assess", *of_day(day)],
                ["assess", *of_day(day), "--full"],
                ["book", *of_day(day), "--at", f"{day[1]}T{time}", "--depth", "1000"],
                ["fidelity", "compare"],
            ]
        return found

    def settings(self, lake_root: Path) -> str:
        """The settings file; the store is beside it."""
        lines = [
            f"lake_root = {json.dumps(str(lake_root))}",
            'data_root = "store"',
            f'first_day = "{min(day for _, day in self.days)}"',
        ]
        for symbol in dict.fromkeys(symbol for symbol, _ in self.days):
            lines += ["[[instruments]]", *_keys({"symbol": symbol, **self.instrument})]
        for section, values in self.sections.items():
            lines += [f"[{section}]", *_keys(values)]
        return "\n".join(lines) + "\n"


def of_day(day: Day) -> list[str]:
    """The options that name a day."""
    return ["--symbol", day[0], "--day", day[1]]


def _keys(values: Mapping[str, object]) -> list[str]:
    # JSON's strings, numbers, booleans and lists are TOML as well.
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]


def scenarios() -> list[Scenario]:
    """All of them, in the order in which they are run."""
    demo, faulty = tuple(DEMO), tuple(FAULTY)
    found = [
        Scenario("demo", "demo", demo, by_command=demo[:1], asked=(demo[0], "00:01:00")),
        Scenario("demo-decimal128", "demo", demo, instrument={"precision": "decimal128"}),
        Scenario("demo-snapshot", "demo", demo, sections={"reconstruct": {"strategy": "snapshot"}}),
        Scenario("demo-continued", "demo", demo, sections={"reconstruct": {"continue_previous_day": True}}),
        Scenario("faulty", "faulty", faulty, by_command=faulty[:1], asked=(faulty[2], "00:01:00")),
        Scenario(
            "faulty-message-3",
            "faulty",
            faulty,
            BOOKS,
            sections={"reconstruct": {"cadence": "message", "extend_every": 3, "strategy": "full_event"}},
        ),
        Scenario("faulty-snapshot", "faulty", faulty, sections={"reconstruct": {"strategy": "snapshot"}}),
    ]
    for cadence in CADENCES:
        for extend_every in EXTENSIONS:
            chosen = {**cadence, "extend_every": extend_every}
            first = not any(each.lake == RECORDINGS for each in found)
            name = f"recorded-{cadence['cadence']}-{extend_every}"
            assets = ALL_ASSETS if first else BOOKS
            found.append(Scenario(name, RECORDINGS, RECORDED, assets, sections={"reconstruct": chosen}))
    return [
        *found,
        Scenario(
            "recorded-decimal128",
            RECORDINGS,
            RECORDED,
            instrument={"precision": "decimal128"},
            asked=(RECORDED[1], "00:02:00"),
        ),
        Scenario(
            "recorded-snapshot", RECORDINGS, RECORDED, sections={"reconstruct": {"strategy": "snapshot"}}
        ),
        Scenario(
            "recorded-continued",
            RECORDINGS,
            RECORDED,
            sections={
                "reconstruct": {"continue_previous_day": True, "cadence": "message", "extend_every": 0}
            },
        ),
        Scenario(
            "recorded-small-batches",
            RECORDINGS,
            RECORDED,
            BOOKS,
            sections={
                "sources": {"batch_rows": ANOTHER_BATCH_ROWS},
                "reconstruct": {"checkpoint_events": 50_000},
            },
        ),
        Scenario(
            "recorded-features",
            RECORDINGS,
            RECORDED,
            sections={
                "features": {
                    "clock": "250ms",
                    "flow_window": "500ms",
                    "horizons": ["2s", "5s"],
                    "imbalance_levels": [1, 3],
                    "mlofi_levels": 5,
                }
            },
        ),
    ]
