"""Shows one assessment as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from order_book_platform.assess.report.markdown import cost_here, facts
from order_book_platform.assess.report.rule_text import rule_bar, rule_figure
from order_book_platform.cli.display.output import stdout, styled_outcome, styled_verdict, table

WIDE = 110
"""Columns from which on the table has the meaning of each rule; else that of failed rules stands below the table."""


def show_assessment(report: dict[str, Any]) -> None:
    """Print the verdict, every rule, and the facts that the report holds."""
    console = stdout()
    name = escape(f"{report['symbol']} {report['day']}")
    heading = styled_verdict(report["verdict"]).markup
    console.print(f"\n[bold]{name}[/]: {heading}, {escape(report['why'])}")
    if "error" in report:
        return
    wide = console.width >= WIDE
    columns = ("rule", "value", "bar", "result", "from")
    rows = [(*_rule(rule), *([rule["note"]] if wide else [])) for rule in report["rules"]]
    console.print(
        table("Rules", (*columns, "meaning") if wide else columns, rows, right=("value",), whole=columns)
    )
    if not wide:
        for rule in report["rules"]:
            if not rule["passed"]:
                console.print(f"{rule['name']}: {rule['note']}", markup=False)
    console.print()
    console.print(table("What there is", ("what", "found"), _lines(report), whole=("what",)))


def _rule(rule: dict[str, Any]) -> tuple[object, ...]:
    """Cells of a rule: name, figure, bar, outcome, and what the figure is from."""
    basis = f"sample, {rule['n']:,}" if rule["basis"] == "sample" else rule["basis"]
    outcome = styled_outcome(rule["passed"], rule["severity"])
    return rule["name"], rule_figure(rule), rule_bar(rule), outcome, basis


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The facts of the report, and the cost of a run on this machine where it is known."""
    yield from facts(report)
    if "here" in report:
        yield "on this machine", cost_here(report["here"])
