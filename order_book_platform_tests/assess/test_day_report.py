"""The report on a day: its sections, and its texts for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from order_book_platform.assess import DataAssessor, GapReporter, PublishedReport
from order_book_platform.assess.day_report import (
    assessment_markdown,
    cost_here,
    count_of,
    coverage_section,
    messages_in_all,
    not_held,
    precision_section,
    rate_section,
    report_head,
    rule_bar,
    rule_figure,
    tick_change,
    times_of,
    validation_gate_holds,
)
from order_book_platform.model import FixedPoint, Gate, GateResult, Severity
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.lake import KEY, START_NS, book_frame, delta_frame, trade_frame, write_lake


def test_manifest_report_and_gates_belong_together(tmp_path: Path) -> None:
    """The manifest is that of the partition with the report, and the gates are those that the class names."""
    write_lake(tmp_path / "lake", KEY, delta_frame(), book_frame(), trade_frame())
    chain = Chain.over(tmp_path, tmp_path / "lake", [KEY])
    for dataset, result in zip(
        ("sequence_gap_report", "data_assessment"), chain.books(KEY)[1:3], strict=True
    ):
        assert isinstance(result, PublishedReport)
        assert result.manifest == chain.store.manifest(dataset, KEY)
        stored = chain.store.report(dataset, KEY)
        assert {name: stored[name] for name in result.report} == result.report
        owner = GapReporter if dataset == "sequence_gap_report" else DataAssessor
        assert {gate.name for gate in result.gates} <= set(owner.GATES)


SECOND = 10**9
HALF_DAY = 43_200 * SECOND


def test_unknown_times_have_no_text() -> None:
    """Both ends are known or neither is."""
    assert times_of(None) == {"first_time": None, "last_time": None}
    assert times_of((START_NS, START_NS + SECOND))["last_time"] == "2024-01-02T00:00:01.000000000Z"


def test_the_head_says_day_verdict_and_recommendation() -> None:
    """The decimals of the day are part of the recommendation."""
    head = report_head(KEY, "full", "go", "because", {"strategy": "full_event"}, FixedPoint(3, 2))
    assert (head["symbol"], head["day"], head["scan"]) == (KEY.instrument.key, "2024-01-02", "full")
    assert (head["verdict"], head["why"]) == ("go", "because")
    assert head["recommendation"] == {"strategy": "full_event", "price_decimals": 3, "size_decimals": 2}


def test_coverage_counts_silences_that_are_not_listed() -> None:
    """Share of the day, the listed silences with their begin, and the number of all."""
    span = (START_NS, START_NS + HALF_DAY)
    section = coverage_section(KEY, span, [(START_NS + SECOND, 2.5)], 7)
    assert (section["day_coverage"], section["silences_in_all"]) == (0.5, 7)
    assert section["silences"] == [{"from": "2024-01-02T00:00:01.000000000Z", "seconds": 2.5}]
    assert coverage_section(KEY, None, [], 0)["day_coverage"] is None


def test_rates_of_a_sample_are_those_of_its_pairs() -> None:
    """Messages a second by the time between neighbours, rows a second by the whole day."""
    rate = rate_section(
        "sample", messages=10, pairs=8, span_ns=4 * SECOND, rows=30, all_rows=600, day=(0, 20 * SECOND)
    )
    assert (rate["messages_per_s"], rate["rows_per_message"]) == (2, 3)
    assert rate["rows_per_s"] == pytest.approx(30)
    assert (rate["messages_in_all"], rate["n"]) == (200, 10)
    still = rate_section("sample", messages=0, pairs=0, span_ns=0, rows=0, all_rows=600, day=None)
    assert [still[name] for name in ("messages_per_s", "messages_in_all", "rows_per_s")] == [None] * 3


@pytest.mark.parametrize(("rows", "wanted"), [(30, 200), (0, None)])
def test_messages_of_the_whole_day(rows: int, wanted: int | None) -> None:
    """As if all messages were as long as those looked at."""
    assert messages_in_all(10, rows, 600) == wanted


def test_tick_and_lot_are_decimals_of_the_day() -> None:
    """Without trailing zeros, beside what is configured and contradicted; changes of the tick as text."""
    point = FixedPoint(3, 2, 500, 25)
    change = tick_change(point, START_NS, 500, 100)
    assert change == {"at": "2024-01-02T00:00:00.000000000Z", "from": "0.5", "to": "0.1"}
    configured = {"tick": "1", "lot": None}
    section = precision_section(
        point, chosen="int64", tick_changes=[change], configured=configured, contradicted=["tick"]
    )
    assert (section["tick"], section["lot"], section["chosen"]) == ("0.5", "0.25", "int64")
    assert (section["tick_changes"], section["contradicted"]) == ([change], ["tick"])
    assert section["price_decimals"] == 3


def rule(name: str, value: float | None, gate: Gate) -> dict[str, Any]:
    """As a report has it."""
    return GateResult.of(name, value, gate, n=1).to_dict()


def test_figures_have_units_and_thousands() -> None:
    """Bytes are told as GB, large counts can be read, shares keep six digits, nothing is a dash."""
    memory = rule("memory", 1_313_930_000, Gate("<", 24 * 10**9))
    assert (rule_figure(memory), rule_bar(memory)) == ("1.31 GB", "< 24 GB")
    assert rule_figure(rule("messages", 1_313_930, Gate(">", 1))) == "1,313,930"
    assert rule_figure(rule("gap_ratio", 0.000327547, Gate("<", 0.001))) == "0.000327547"
    assert rule_figure(rule("gap_ratio", None, Gate("<", 0.001))) == "-"


def test_a_rule_that_misses_its_bar_by_little_is_seen_to() -> None:
    """The text is on the side of the bar where the figure is, in bytes too."""
    assert rule_figure(rule("origin_coverage", 0.98999996, Gate(">=", 0.99))) == "0.98999996"
    assert rule_figure(rule("messages", 999_999.9, Gate("<", 1_000_000))) == "999,999.9"
    assert rule_figure(rule("memory", 24_000_100_000, Gate("<=", 24 * 10**9))) == "24.0001 GB"


def test_what_does_not_hold_is_told_from_the_least_to_the_largest() -> None:
    """Of several days once, with the bar; rules that hold and rules of the other severity are left out."""
    bar, warn = Gate(">", 0.99), Gate(">=", 0.99, Severity.WARN)
    days = [
        [rule("origin_coverage", value, bar), rule("day_coverage", value, warn)]
        for value in (0.85, 0.72, 0.995)
    ]
    assert not_held(days, "error") == ["origin_coverage 0.72 to 0.85 (> 0.99)"]
    assert not_held(days[:1], "warn") == ["day_coverage 0.85 (>= 0.99)"]
    assert not_held(days[2:], "error") == []


def test_one_day_is_no_days() -> None:
    """Singular and plural."""
    assert [count_of(number, "day") for number in (0, 1, 3_650)] == ["0 days", "1 day", "3,650 days"]


def test_a_day_that_could_not_be_read_is_a_heading_and_its_error() -> None:
    """There is nothing else to say of it."""
    report = {"symbol": "TEST:A", "day": "2024-01-02", "verdict": "damaged", "why": "X: broken", "error": {}}
    assert assessment_markdown(report) == "# TEST:A 2024-01-02: damaged\n\nX: broken\n"


@pytest.mark.parametrize(
    ("passed", "scan", "text"),
    [(False, "sample", "does not hold"), (True, "sample", "holds so far"), (True, "full", "holds")],
)
def test_a_sample_holds_so_far(passed: bool, scan: str, text: str) -> None:
    """Only a full scan may say that the gate holds."""
    assert validation_gate_holds({"validation_gate": {"passed": passed}, "scan": scan}) == text


def here(**changes: Any) -> dict[str, Any]:
    """What runs take on a machine with 2 cores."""
    return {
        "machine": {"cores": 2, "memory_bytes": 8e9, "free_disk_bytes": 50e9, "slowness": 1.25},
        "reference": "REF",
        "hours": 0.5,
        "parallel_runs": 2,
        "peak_bytes": 1e9,
        "disk_bytes": 2e9,
        "memory_fits": True,
        "disk_fits": True,
        **changes,
    }


def test_costs_have_units_that_suit_them() -> None:
    """Seconds below an hour, hours above; what does not fit stands out."""
    text = cost_here(here())
    assert text.startswith("1,800.0 s with 2 run(s) at a time on 2 cores, 1.00 GB of 8.0 GB memory,")
    assert text.endswith("(measured on REF; these cores take 1.25 of its time)")
    assert "**" not in text
    assert cost_here(here(hours=1_000)).startswith("1,000.0 hours")
    assert "memory; **too little memory**" in cost_here(here(memory_fits=False))
    assert "free disk; **too little disk**" in cost_here(here(disk_fits=False))
