"""The assessment as Markdown, for people."""

from __future__ import annotations

from typing import Any

from order_book_platform.clock import iso_from_ns


def assessment_markdown(report: dict[str, Any]) -> str:
    """`report.md` of a `report.json`."""
    audit, clocks, precision = report["audit"], report["clocks"], report["precision"]
    recommended = report["recommendation"]
    removals = audit["deletions"] / max(audit["rows"], 1)
    decimals = f"{precision['price_decimals']} and {precision['size_decimals']} decimals"
    beyond = ""
    if precision["chosen"] == "decimal128":
        beyond = f"; {precision['prices_beyond_pips']:,} prices and {precision['sizes_beyond_pips']:,} sizes need it"
        if precision["first_beyond_pips"]:
            beyond += f", the first: {precision['first_beyond_pips']}"
    lines = [
        f"# {report['symbol']} {report['day']}: {report['verdict']}",
        "",
        f"{report['why'][0].upper()}{report['why'][1:]}.",
        f"Recommended: strategy `{recommended['strategy']}`, seeding `{recommended['seeding']}`.",
        f"Decided by: {recommended['rule']}.",
        "",
        "| rule | value | gate | holds | meaning |",
        "|---|---:|---|---|---|",
    ]
    for rule in report["rules"]:
        holds = "yes" if rule["passed"] else f"**no** ({rule['severity']})"
        value = "–" if rule["value"] is None else f"{rule['value']:,.6g}"
        lines.append(f"| {rule['name']} | {value} | {rule['gate']} | {holds} | {rule['note']} |")
    lines += [
        "",
        "| table | rows | available |",
        "|---|---:|---|",
        *(
            f"| {table} | {entry['rows']:,} | {'yes' if entry['available'] else '**no**'} |"
            for table, entry in report["availability"].items()
        ),
        "",
        f"- Span: {iso_from_ns(audit['first_origin_time'])} to {iso_from_ns(audit['last_origin_time'])} (origin time)",
        f"- Messages: {audit['messages']:,}, the longest of {audit['longest_message']:,} rows",
        f"- {removals:.1%} of the rows are removals",
        f"- Tick {_increment(precision, 'tick')}, lot {_increment(precision, 'lot')}, {decimals}",
        f"- Precision {precision['chosen']} (wanted: {precision['wanted']}): {precision['why']}{beyond}",
        f"- Gaps ({report['gaps']['kind']}): {report['gaps']['gaps']:,}"
        + "".join(f", {count:,} {cause}" for cause, count in report["gaps"]["by_cause"].items()),
        f"- Longest pause between messages: {clocks['longest_pause_ms']:,.1f} ms",
        "- Latency (arrival − origin), ms: "
        + ", ".join(f"{name} {value:,.2f}" for name, value in clocks["latency_ms"].items()),
        f"- Estimate: {report['estimate']['peak_bytes'] / 1e9:.2f} GB, {report['estimate']['seconds']:,.1f} s",
        "",
    ]
    return "\n".join(lines)


def _increment(precision: dict[str, Any], name: str) -> str:
    """A tick or lot and where it is from."""
    configured = precision["configured"][name]
    if configured is None:
        return f"{precision[name]} (detected)"
    if name in precision["contradicted"]:
        return f"{precision[name]} (detected; contradicts the configured {configured})"
    return f"{precision[name]} (configured)"
