"""Writes an assessment for people: as Markdown, and the facts that terminals show too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from order_book_platform.assess.report.rule_text import count_of, rule_bar, rule_figure


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
    """Write what runs take on the machine that was looked at; see `assess.machine.on_machine`."""
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
