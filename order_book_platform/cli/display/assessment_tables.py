"""An assessment as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from order_book_platform.assess.report.markdown import cost_here, facts
from order_book_platform.assess.report.rule_text import rule_bar, rule_figure
from order_book_platform.cli.display.output import Styled, stdout, table, verdict

STYLES = {"go": "bold green", "no-go": "bold red", "damaged": "bold red", "missing": "dim"}
"""Of verdicts; any other is yellow."""
WIDE = 110
"""In fewer columns the meaning is said below the table, of the rules that do not hold."""


def styled(text: str) -> Styled:
    """A verdict in its colour."""
    return Styled(text, STYLES.get(text, "bold yellow"))


def show_assessment(report: dict[str, Any]) -> None:
    """Print the verdict, every rule, and what there is."""
    console = stdout()
    heading = styled(report["verdict"]).markup
    name = escape(f"{report['symbol']} {report['day']}")
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
    result = verdict(rule["passed"], rule["severity"])
    return rule["name"], rule_figure(rule), rule_bar(rule), result, _basis(rule)


def _basis(rule: dict[str, Any]) -> str:
    return f"sample, {rule['n']:,}" if rule["basis"] == "sample" else rule["basis"]


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from facts(report)
    if "here" in report:
        yield "on this machine", cost_here(report["here"])
