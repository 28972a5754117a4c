"""Writes rules for people: a figure and its bar with units, and which rules some days do not hold. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from order_book_platform.model.gates import figure, on_its_side

BYTES = ("memory",)
"""Names of the rules whose figure is a number of bytes; they are written in GB."""


def rule_figure(rule: Mapping[str, Any]) -> str:
    """Write the figure of a rule of a report, with digits enough to be on its side of the bar; `-` without a figure."""
    return _shown(rule["name"], rule["value"], rule["gate"])


def rule_bar(rule: Mapping[str, Any]) -> str:
    """Write the bar of a rule of a report, such as `> 0.99`."""
    comparison, threshold = rule["gate"].split()
    return f"{comparison} {_shown(rule['name'], float(threshold))}"


def not_held(days: Sequence[Iterable[Mapping[str, Any]]], severity: str) -> list[str]:
    """Write the rules that do not hold on any of some days, such as `origin_coverage 0.72 (> 0.99)`.

    Where several days do not hold a rule, its smallest and its largest figure are named.

    Args:
        days: Rules of each day, as reports have them.
        severity: Severity of the rules to name.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for rules in days:
        for rule in rules:
            if not rule["passed"] and rule["severity"] == severity:
                found.setdefault(rule["name"], []).append(rule)
    return [f"{name} {_from_to(rules)} ({rule_bar(rules[0])})" for name, rules in found.items()]


def count_of(number: int, noun: str) -> str:
    """Write a number and its noun, such as `1 day` or `2 days`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _from_to(rules: Sequence[Mapping[str, Any]]) -> str:
    ordered = sorted(rules, key=lambda rule: float("-inf") if rule["value"] is None else rule["value"])
    texts = list(dict.fromkeys(rule_figure(rule) for rule in (ordered[0], ordered[-1])))
    return " to ".join(texts)


def _shown(name: str, value: float | None, bar: str = "") -> str:
    if name in BYTES and value is not None:
        comparison, _, threshold = bar.partition(" ")
        in_gb = f"{comparison} {float(threshold) / 1e9:g}" if threshold else ""
        return on_its_side(value / 1e9, in_gb, lambda digits: f"{value / 1e9:,.{digits}g}", 3) + " GB"
    return figure(value, bar)
