"""The self-test itself: it passes where all is as expected, and says so where anything is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.fidelity.metric_declarations import CHECKS
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.self_test import self_test
from order_book_platform.fidelity.self_test.defects import DEFECTS, Defect
from order_book_platform.fidelity.self_test.in_memory_day import InMemoryDay
from order_book_platform.fidelity.self_test.self_test import SOUND, Cell, MadeDay, SelfTest, SelfTestResult
from order_book_platform.model import Gate
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.conftest import TRIAL_KEY

ONE_TICK = next(defect for defect in DEFECTS if defect.name == "one tick")


def run(trial: DataStore, *defects: Defect, made: tuple[MadeDay, ...] = ()) -> SelfTestResult:
    """The self-test with some defects only."""
    return SelfTest(trial, TRIAL_KEY, defects).run(made)


def about_figures(result: SelfTestResult) -> list[str]:
    """Problems other than gates that the few defects of a test leave out."""
    return [problem for problem in result.problems if "no defect makes this gate fail" not in problem]


def test_figures_agree_and_the_store_is_left_as_it_was(trial: DataStore) -> None:
    """Gates of the sound day and of the damaged one have their slow figures; what no defect fails is named."""
    before = InMemoryDay.read(trial, TRIAL_KEY)
    result = run(trial, ONE_TICK)
    after = InMemoryDay.read(trial, TRIAL_KEY)
    assert about_figures(result) == []
    assert not result.passed  # a single defect is not there for every gate
    assert result.days == (SOUND, "one tick")
    assert set(CHECKS) <= set(result.gates)
    assert {cell.gate for cell in result.cells if not cell.compared} == {
        *("bbo_exact_time_tickers", "bbo_rms_time_bid_tickers", "bbo_rms_time_ask_tickers"),
        *("trade_in_range_tickers", "inferred_gap_ratio", "origin_coverage", "origin_valid", "latency_p50"),
        "placebo_fails",
    }
    failing = {cell.gate for cell in result.cells if not cell.passed}
    assert set(ONE_TICK.fails) <= failing
    assert {problem.split(":")[0] for problem in result.problems} == set(result.gates) - failing
    assert after.books.equals(before.books)


def test_a_gate_that_holds_although_it_must_fail_is_a_problem(trial: DataStore) -> None:
    """A defect that does nothing passes everything, which is not what was promised."""
    nothing = Defect("nothing", "nothing", lambda day: day, ("topk_ghost",))
    assert about_figures(run(trial, nothing)) == ["nothing: topk_ghost: must fail, found 0.0 with <= 0.001"]


def test_a_figure_that_does_not_follow_from_the_injection_is_a_problem(trial: DataStore) -> None:
    """The found figure and the one that the injection gives are both said."""
    wrong = replace(ONE_TICK, figures=lambda _: {"bbo_rms_seq_ask": 2.0})
    assert about_figures(run(trial, wrong)) == ["one tick: bbo_rms_seq_ask: found 1.0, by injection 2.0"]


def test_a_figure_that_the_slow_way_does_not_give_is_a_problem(
    trial: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If either implementation goes wrong, the two no longer agree."""
    slowly: Callable[[InMemoryDay], Mapping[str, float | None]] = self_test.slow_figures
    monkeypatch.setattr(
        self_test, "slow_figures", lambda day: {**slowly(day), "ks_qi_5": 0.5, "resyncs": None}
    )
    problems = about_figures(run(trial))
    assert problems == [
        f"{SOUND}: ks_qi_5: found 0.0, slowly 0.5",
        f"{SOUND}: resyncs: found 0.0, slowly None",
    ]


def test_a_gate_that_is_never_measured_is_a_problem(
    trial: DataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new gate without a metric, and one whose metric no defect fails, both force a look."""
    monkeypatch.setitem(CHECKS, "new_gate", "A gate without a metric.")
    assert about_figures(run(trial)) == [f"{SOUND}: new_gate: must hold, found None with not measured"]
    measured = self_test.measure

    def with_new(day: DayInputs) -> FidelityResult:
        found = measured(day)
        return replace(found, metrics=(*found.metrics, Metric("new_gate", 0.0, 1, Gate("<", 1))))

    monkeypatch.setattr(self_test, "measure", with_new)
    result = run(trial, ONE_TICK)
    assert about_figures(result) == []
    assert "new_gate: no defect makes this gate fail" in result.problems


def test_made_days_are_measured_too(trial: DataStore) -> None:
    """Their gates and figures are checked in the same way."""
    made = MadeDay("made", "nothing", trial, ("resyncs",), {"unseen_references": 3.0})
    result = run(trial, made=(made,))
    assert result.days == (SOUND, "made")
    assert result.words["made"] == "nothing"
    assert about_figures(result) == [
        "made: resyncs: must fail, found 0.0 with == 0",
        "made: unseen_references: found 0.0, by injection 3.0",
    ]


def test_an_error_leaves_the_store_as_it_was(trial: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is taken out again, whatever happens while it is measured."""
    before = InMemoryDay.read(trial, TRIAL_KEY)
    test = SelfTest(trial, TRIAL_KEY, (ONE_TICK,))
    calls = iter([(), RuntimeError("torn")])

    def fail(*_: object) -> Any:
        answer = next(calls)
        if isinstance(answer, RuntimeError):
            raise answer
        return answer

    monkeypatch.setattr(SelfTest, "_measure", fail)
    with pytest.raises(RuntimeError, match="torn"):
        test.run()
    assert InMemoryDay.read(trial, TRIAL_KEY).books.equals(before.books)


def test_figures_may_differ_by_the_order_of_a_sum_only() -> None:
    """A part in a billion; what is measured on one side only never agrees."""
    cell = Cell("d", "g", "< 1", 0.25, True, slow=0.25 * (1 + 1e-12), compared=True)
    assert cell.problem == ""
    assert replace(cell, slow=0.25 * (1 + 1e-8)).problem
    assert replace(cell, slow=None).problem
    assert replace(cell, found=None, slow=None).problem == ""
