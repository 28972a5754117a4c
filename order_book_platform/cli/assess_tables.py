"""An assessment as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from order_book_platform.assess.markdown import cost_here, facts
from order_book_platform.cli.output import Styled, figure, stdout, table, verdict

STYLES = {"go": "bold green", "no-go": "bold red", "damaged": "bold red", "missing": "dim"}
"""Of verdicts; any other is yellow."""


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
    console.print(
        table(
            "Rules",
            ("rule", "value", "bar", "result", "from", "meaning"),
            (
                (
                    rule["name"],
                    figure(rule["value"]),
                    rule["gate"],
                    verdict(rule["passed"], rule["severity"]),
                    _basis(rule),
                    rule["note"],
                )
                for rule in report["rules"]
            ),
            right=("value",),
        )
    )
    console.print()
    console.print(table("What there is", ("what", "found"), _lines(report)))


def _basis(rule: dict[str, Any]) -> str:
    return f"sample, {rule['n']:,}" if rule["basis"] == "sample" else rule["basis"]


def _lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from facts(report)
    if "here" in report:
        yield "on this machine", cost_here(report["here"])
