"""The report on a day: the sections that full scans and samples make alike, and how all of it is written for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from order_book_platform.assess.rules import day_coverage
from order_book_platform.clock import NS_PER_SECOND, iso_from_ns
from order_book_platform.model import FixedPoint, GateResult, PartitionKey
from order_book_platform.model.fixed_point import EXACT
from order_book_platform.model.gates import figure, on_its_side
from order_book_platform.storage import Manifest

Span = tuple[int, int] | None
"""First and last time, ns; None where they are not known."""


@dataclass(frozen=True, slots=True)
class PublishedReport:
    """A report that was published: its partition, the content of its report.json, and the rules it was held against."""

    manifest: Manifest
    report: dict[str, Any]
    gates: tuple[GateResult, ...]


def report_head(
    key: PartitionKey, scan: str, verdict: str, why: str, strategy: Mapping[str, str], point: FixedPoint
) -> dict[str, Any]:
    """Return which day a report is of, whether its `scan` is `full` or a `sample`, and verdict and recommendation."""
    decimals = {"price_decimals": point.price_decimals, "size_decimals": point.size_decimals}
    return {
        "symbol": key.instrument.key,
        "day": key.day.isoformat(),
        "scan": scan,
        "verdict": verdict,
        "why": why,
        "recommendation": {**strategy, **decimals},
    }


def times_of(span: Span) -> dict[str, str | None]:
    """Return `first_time` and `last_time` as text."""
    first, last = span or (None, None)
    return {
        "first_time": None if first is None else iso_from_ns(first),
        "last_time": None if last is None else iso_from_ns(last),
    }


def coverage_section(
    key: PartitionKey, span: Span, silences: Sequence[tuple[int, float]], count: int
) -> dict[str, Any]:
    """Return how much of the day the deltas cover, from the origin times of all of them.

    Of `count` silences those that are listed come with begin (ns) and seconds, the longest one first.
    """
    return {
        "basis": "full",
        "clock": "origin_time",
        **times_of(span),
        "day_coverage": span and day_coverage(key, *span),
        "silences": [{"from": iso_from_ns(begin), "seconds": seconds} for begin, seconds in silences],
        "silences_in_all": count,
    }


def rate_section(
    basis: str, *, messages: int, pairs: int, span_ns: int, rows: int, all_rows: int, day: Span
) -> dict[str, Any]:
    """Return how fast the deltas came.

    Looked at were `messages` with `rows`, and `pairs` of consecutive ones with `span_ns` between them, summed;
    `all_rows` and `day` are rows, and first and last time, of the whole day.
    """
    return {
        "basis": basis,
        "n": messages,
        "messages_per_s": pairs / span_ns * NS_PER_SECOND if span_ns > 0 else None,
        "rows_per_message": rows / max(messages, 1),
        "messages_in_all": messages_in_all(messages, rows, all_rows),
        "rows_per_s": all_rows / (day[1] - day[0]) * NS_PER_SECOND if day and day[1] > day[0] else None,
    }


def messages_in_all(messages: int, rows: int, all_rows: int) -> int | None:
    """Estimate the messages of a day of `all_rows`, as if all had as many rows as the messages with `rows` rows."""
    return round(all_rows * messages / rows) if rows else None


def precision_section(point: FixedPoint, **entries: Any) -> dict[str, Any]:
    """Return how the numbers of a day are held, and where its tick and lot, those of `point`, are from.

    The entries are the basis of the section, which precision was wanted and chosen, and why, `tick_changes` (see
    `tick_change`), `configured` increments, None for one that is not, and which of them the data contradict.
    """
    return {**entries, "tick": f"{point.tick:f}", "lot": f"{point.lot:f}", **point.to_metadata()}


def tick_change(point: FixedPoint, at_ns: int, from_pips: int, to_pips: int) -> dict[str, Any]:
    """Return a change of the tick as text: when, from what, to what."""
    before, after = (f"{point.price(pips).normalize(EXACT):f}" for pips in (from_pips, to_pips))
    return {"at": iso_from_ns(at_ns), "from": before, "to": after}


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
    """Write the rules of a severity that do not hold on any of some days, such as `origin_coverage 0.72 (> 0.99)`.

    Where several days do not hold a rule, its smallest and its largest figure are named.
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


def assessment_markdown(report: dict[str, Any]) -> str:
    """Write a report, published or not, as `report.md`."""
    if "error" in report:
        return f"# {report['symbol']} {report['day']}: {report['verdict']}\n\n{report['why']}\n"
    recommended, gate = report["recommendation"], report["validation_gate"]
    held = validation_gate_holds(report).replace("does not hold", "**does not hold**")
    lines = [
        f"# {report['symbol']} {report['day']}: {report['verdict']}",
        "",
        f"{report['why'][0].upper()}{report['why'][1:]}.",
        f"Recommended: strategy `{recommended['strategy']}`, seeding `{recommended['seeding']}`.",
        f"Decided by: {recommended['rule']}.",
        f"The validation gate ({', '.join(gate['rules'])}) {held}.",
        "",
        "| rule | value | gate | holds | from | meaning |",
        "|---|---:|---|---|---|---|",
    ]
    for rule in report["rules"]:
        holds = "yes" if rule["passed"] else f"**no** ({rule['severity']})"
        value, bar = rule_figure(rule), rule_bar(rule)
        basis = f"sample of {rule['n']:,}" if rule["basis"] == "sample" else rule["basis"]
        lines.append(f"| {rule['name']} | {value} | {bar} | {holds} | {basis} | {rule['note']} |")
    lines += [
        "",
        "| table | rows | available |",
        "|---|---:|---|",
        *(
            f"| {table} | {entry['rows']:,} | {'yes' if entry['available'] else '**no**'} |"
            for table, entry in report["availability"].items()
        ),
        "",
        *(
            f"- {what[0].upper()}{what[1:]}: {text}"
            for what, text in facts(report)
            if what not in report["availability"] and what != "validation gate"
        ),
    ]
    if "here" in report:
        lines.append(f"- On this machine: {cost_here(report['here'])}")
    return "\n".join([*lines, ""])


def facts(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is worth knowing before a run, as names and texts."""
    audit, clocks, gaps = report["audit"], report["clocks"], report["gaps"]
    sampled = report["scan"] == "sample"
    for name, entry in report["availability"].items():
        yield name, _amount(entry) if entry["available"] else "not there"
    if sampled:
        yield "sample", _sample(report["sample"])
    yield "span", _span(report["coverage"])
    rate = report["rate"]
    if rate["messages_per_s"] is not None:
        text = f"{rate['messages_per_s']:,.1f} messages/s of {rate['rows_per_message']:,.1f} rows"
        yield "rate", text + (" (sample)" if sampled else "")
    yield (
        "validation gate",
        f"{', '.join(report['validation_gate']['rules'])}: {validation_gate_holds(report)}",
    )
    if report["unmeasured"]:
        yield "rules without a figure", ", ".join(report["unmeasured"])
    if gaps.get("not_looked_for"):
        yield "not looked for", f"{', '.join(gaps['not_looked_for'])}: it takes --full"
    of = " in the sample" if sampled else ""
    yield "messages", f"{audit['messages']:,}{of}, the longest of {audit['longest_message']:,} rows"
    yield "removals", f"{audit['deletions'] / max(audit['rows'], 1):.1%} of the rows{of}"
    yield "precision", _precision(report["precision"])
    yield f"gaps ({gaps['kind']})", _gaps(gaps) + of
    yield "reconnects", f"{gaps['reconnects']['count']:,} ({gaps['reconnects']['kind']})"
    best = report["snapshots"]["best_prices"]
    if best["rows"]:
        text = f"{best['crossed_rows']:,} ({best['crossed_share']:.3%})"
        longest = f", the longest spell {best['longest_crossed_s']:,.3f} s" if best["crossed_rows"] else ""
        yield "crossed rows of book", text + longest
    yield "longest pause", f"{clocks['longest_pause_ms']:,.1f} ms{of}"
    latency = ", ".join(f"{name} {value:,.2f}" for name, value in clocks["latency_ms"].items())
    yield "latency (arrival − origin), ms", latency
    yield "clock", _clock(clocks)
    recommended = report["recommendation"]
    yield (
        "recommended",
        f"strategy {recommended['strategy']}, seeding {recommended['seeding']} ({recommended['rule']})",
    )
    estimate = report["estimate"]
    yield "estimate", f"{estimate['peak_bytes'] / 1e9:.2f} GB, {estimate['seconds']:,.1f} s"


def validation_gate_holds(report: dict[str, Any]) -> str:
    """Write whether the requirement's validation gate holds; of a sample it holds `so far`."""
    if not report["validation_gate"]["passed"]:
        return "does not hold"
    return "holds so far" if report["scan"] == "sample" else "holds"


def cost_here(here: dict[str, Any]) -> str:
    """Write what runs take on the machine that was looked at; see `assess.run_estimate.on_machine`."""
    machine = here["machine"]
    hours = here["hours"]
    time = f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 3_600:,.1f} s"
    short = "" if here["memory_fits"] else "; **too little memory**"
    full = "" if here["disk_fits"] else "; **too little disk**"
    return (
        f"{time} with {here['parallel_runs']} run(s) at a time on {machine['cores']} cores, "
        f"{here['peak_bytes'] / 1e9:.2f} GB of {machine['memory_bytes'] / 1e9:.1f} GB memory{short}, "
        f"{here['disk_bytes'] / 1e9:,.2f} GB of {machine['free_disk_bytes'] / 1e9:,.1f} GB free disk{full} "
        f"(measured on {here['reference']}; these cores take {machine['slowness']:.2f} of its time)"
    )


def _amount(entry: dict[str, Any]) -> str:
    text = f"{entry['rows']:,} rows"
    if entry["files"] is not None and entry["bytes"] is not None:
        text += f" in {count_of(entry['files'], 'file')} of {entry['bytes'] / 1e9:,.3f} GB"
    return text


def _sample(sample: dict[str, Any]) -> str:
    """Write how much was looked at, and from when to when."""
    stretches = sample["stretches"]
    text = f"{sample['share_of_rows']:.2%} of the deltas"
    if sample["whole"]:
        return f"{text}, all of the day"
    if stretches:
        begin, end = stretches[0][0], stretches[-1][1]
        name = "stretch" if len(stretches) == 1 else "stretches"
        text += f", {len(stretches)} {name} from {begin[11:19]} to {end[11:19]}"
    if not sample["reaches_end"]:
        text += f"; **the last {sample['unseen_at_end_s']:,.0f} s of the day were not sampled: use --full**"
    return text


def _span(coverage: dict[str, Any]) -> str:
    if coverage["first_time"] is None:
        return "unknown: no origin time is known"
    text = f"{coverage['first_time']} to {coverage['last_time']} ({coverage['clock']})"
    if coverage["silences_in_all"]:
        text += f"; {count_of(coverage['silences_in_all'], 'silence')}"
    # A report from every row lists silences only where they are among the longest gaps.
    if coverage["silences"]:
        longest = coverage["silences"][0]
        text += f", one of {longest['seconds']:,.1f} s from {longest['from']}"
    return text


def _gaps(gaps: dict[str, Any]) -> str:
    text = f"{gaps['gaps']:,}" + "".join(f", {count:,} {cause}" for cause, count in gaps["by_cause"].items())
    duration, missing = gaps["distribution"]["duration_s"], gaps["distribution"]["missing_ids"]
    if duration["longest"] is not None:
        text += f"; median {duration['p50']:,.3f} s, longest {duration['longest']:,.3f} s"
    return text + (f"; {missing['total']:,} ids missing" if missing else "")


def _clock(clocks: dict[str, Any]) -> str:
    if clocks["skew_ms"] is None:
        return f"no skew: {clocks['envelope_windows']} window(s) with enough messages are too few"
    drift = "" if clocks["drift_ppm"] is None else f", drift {clocks['drift_ppm']:,.2f} ppm"
    windows = f"{clocks['envelope_windows']} windows of {clocks['envelope_window_s']} s"
    return f"skew {clocks['skew_ms']:,.2f} ms{drift} (lower envelope of {windows})"


def _precision(precision: dict[str, Any]) -> str:
    beyond = ""
    if precision["chosen"] == "decimal128":
        beyond = f"; {precision['prices_beyond_pips']:,} prices and {precision['sizes_beyond_pips']:,} sizes need it"
        if precision["first_beyond_pips"]:
            beyond += f", the first: {precision['first_beyond_pips']}"
    changes = "".join(
        f"; the tick changes from {each['from']} to {each['to']} at {each['at']}"
        for each in precision["tick_changes"]
    )
    return (
        f"{precision['chosen']} (wanted: {precision['wanted']}): {precision['why']}{beyond}. "
        f"Tick {_increment(precision, 'tick')}, lot {_increment(precision, 'lot')}, "
        f"{precision['price_decimals']} and {precision['size_decimals']} decimals{changes}"
    )


def _increment(precision: dict[str, Any], name: str) -> str:
    """Write the tick or lot and where it is from."""
    configured = precision["configured"][name]
    if configured is None:
        return f"{precision[name]} (detected)"
    if name in precision["contradicted"]:
        return f"{precision[name]} (detected; contradicts the configured {configured})"
    return f"{precision[name]} (configured)"
