"""The tables of docs/formats/fidelity_report.md that are made from the declarations.

`python -m order_book_platform.fidelity.metric_declarations.documentation_tables` rewrites them in place, and a test
compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from order_book_platform.fidelity.metric_declarations import DECLARATIONS
from order_book_platform.fidelity.metric_declarations.metric_declaration import Applies, MetricDeclaration
from order_book_platform.model import Severity

DOCUMENT = Path(__file__).parents[3] / "docs" / "formats" / "fidelity_report.md"
BEGIN = "<!-- made by python -m order_book_platform.fidelity.metric_declarations.documentation_tables -->"
END = "<!-- end of what is made from the declarations -->"
_NAMED = 5
"""Families of more metrics are documented by their first and last name."""


def tables() -> str:
    """Return the tables of all metrics as Markdown: figures and gates, then what each shows."""
    figures = _table(
        ("name", "value", "unit", "gate", "n", "against", "placebo", "slow definition", "figure"),
        (
            (
                _names(declaration),
                declaration.formula,
                declaration.unit,
                _gate(declaration),
                declaration.n,
                ", ".join(declaration.references),
                declaration.placebo.kind,
                declaration.oracle or declaration.without_oracle,
                declaration.chart or "",
            )
            for declaration in DECLARATIONS
        ),
    )
    meanings = _table(
        ("name", "shows", "does not show"),
        (
            (_names(declaration), _description(declaration), declaration.blind_to)
            for declaration in DECLARATIONS
        ),
    )
    placebos = dict.fromkeys(declaration.placebo for declaration in DECLARATIONS)
    kinds = "\n".join(f"- `{placebo.kind}`: {placebo.reason}." for placebo in placebos)
    return f"{figures}\n\nPlacebos:\n{kinds}\n\n{meanings}"


def rewritten(document: str) -> str:
    """Return a document with its tables made anew.

    Args:
        document: Text with the marks `BEGIN` and `END` on lines of their own.

    Raises:
        ValueError: A mark is missing.
    """
    before, rest = document.split(f"{BEGIN}\n")
    _, after = rest.split(f"{END}\n")
    return f"{before}{BEGIN}\n{tables()}\n{END}\n{after}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def lines() -> Iterator[tuple[str, ...]]:
        yield heads
        yield ("---",) * len(heads)
        yield from rows

    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines())


def _names(declaration: MetricDeclaration) -> str:
    """Return the names of a family, or its first and last one."""
    names = declaration.names
    return ", ".join(names) if len(names) <= _NAMED else f"{names[0]} … {names[-1]}"


def _gate(declaration: MetricDeclaration) -> str:
    """Return the bar, its severity where it only warns, and when it is in force where that is not always."""
    if declaration.gate is None:
        return ""
    parts = [str(declaration.gate)]
    if declaration.gate.severity is Severity.WARN:
        parts.append("warn")
    if declaration.applies is not Applies.ALWAYS:
        parts.append(str(declaration.applies))
    if declaration.gated_against:
        parts.append(f"against {' and '.join(declaration.gated_against)} only")
    return ", ".join(parts)


def _description(declaration: MetricDeclaration) -> str:
    """Return what a metric, or the first one of a family, shows."""
    return next(iter(declaration.descriptions.values()))


if __name__ == "__main__":
    DOCUMENT.write_text(rewritten(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
