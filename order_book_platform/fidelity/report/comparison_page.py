"""The comparison as a page: a calendar of verdicts, the gates that fail, and the worst days first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from itertools import groupby

from order_book_platform.fidelity.report.comparison import (
    VERDICTS,
    Compared,
    Failure,
    Verdict,
    count_gates,
    worst_first,
)
from order_book_platform.fidelity.report.html import document, headed_table, number_text

LISTED = 300
"""Days that the page lists with their failures; the calendar has all of them, and `--json` all there is to say."""
_CLASSES: dict[Verdict, str] = {
    "not faithful": "n",
    "unreadable": "u",
    "no report": "r",
    "outdated": "o",
    "warned": "w",
    "faithful": "f",
}
_MARKS = {"n": "✕", "u": "!", "r": "?", "o": "↻", "w": "△", "f": "", "x": ""}
"""So that nobody has to tell colours apart."""
_STYLE = """
.calendar{border-spacing:2px;border-collapse:separate;width:auto;font-size:.7rem}
.calendar td,.calendar th{border:0;padding:0 3px 0 0;vertical-align:middle}
.calendar a,.calendar i,.key i{display:inline-block;width:15px;height:15px;line-height:15px;border-radius:3px;
font-style:normal;text-align:center;text-decoration:none;font-size:10px;vertical-align:middle}
.calendar a{margin:1px}.calendar i{margin:1px}
.n{background:var(--bad);color:var(--ground)}
.u{background:var(--bad-ground);color:var(--bad);outline:1px solid var(--bad);outline-offset:-1px}
.r,.o{background:var(--panel);color:var(--ink);outline:1px solid var(--muted);outline-offset:-1px}
.w{background:var(--warn-ground);color:var(--warn);outline:1px solid var(--warn);outline-offset:-1px}
.f{background:var(--good-ground);outline:1px solid var(--good);outline-offset:-1px}
.x{background:repeating-linear-gradient(45deg,var(--line) 0 2px,transparent 2px 5px)}
.key{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--muted);margin:6px 0 12px;font-size:.82rem}
"""


def render_comparison(compared: Sequence[Compared]) -> str:
    """The whole document.

    Args:
        compared: by symbol and day, as `compare_reports` gives them.
    """
    days = [each.key.day for each in compared]
    span = f", {min(days)} to {max(days)}" if days else ""
    title = f"Fidelity of {len({each.key.instrument.key for each in compared})} symbols{span}"
    parts = [f"<h1>{escape(title)}</h1>", _verdict(compared)]
    if compared:
        parts += ["<h2>Days</h2>", _key(compared), _calendar(compared)]
        parts += ["<h2>Gates that fail</h2>", _gates(compared)]
        parts += ["<h2>Worst days first</h2>", _worst(compared)]
    return document(title, parts, _STYLE)


def _verdict(compared: Sequence[Compared]) -> str:
    if not compared:
        return (
            '<div class="verdict warn"><strong>Nothing to compare.</strong> There are neither books nor reports for '
            "these symbols and days.</div>"
        )
    counts = Counter(each.verdict for each in compared)
    bad = counts["not faithful"] + counts["unreadable"]
    unmeasured = counts["no report"] + counts["outdated"]
    if bad:
        kind, words = "fail", f"{bad:,} of {len(compared):,} days are not faithful or cannot be read"
    elif unmeasured:
        kind, words = "warn", f"{unmeasured:,} of {len(compared):,} days have not been measured"
    else:
        kind, words = "pass", f"All {len(compared):,} days are faithful"
    if not bad and counts["warned"]:
        words += f"; {counts['warned']:,} of them with warnings"
    symbols = [
        (symbol, list(days)) for symbol, days in groupby(compared, key=lambda each: each.key.instrument.key)
    ]
    items = "".join(
        f"<li><b>{escape(symbol)}</b>: "
        + ", ".join(
            f"{count:,} {verdict}"
            for verdict in VERDICTS
            if (count := sum(day.verdict == verdict for day in days))
        )
        + "</li>"
        for symbol, days in symbols
    )
    return f'<div class="verdict {kind}"><strong>{words}.</strong><ul>{items}</ul></div>'


def _key(compared: Sequence[Compared]) -> str:
    present = {each.verdict for each in compared}
    marks = "".join(
        f"<span><i class={letter}>{_MARKS[letter]}</i> {verdict}</span>"
        for verdict, letter in _CLASSES.items()
        if verdict in present
    )
    return f"<div class=key>{marks}<span><i class=x></i> no books</span></div>"


def _calendar(compared: Sequence[Compared]) -> str:
    """A row a month and symbol, a mark a day that leads to its report."""
    first, last = min(each.key.day for each in compared), max(each.key.day for each in compared)
    every = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    rows = []
    for symbol, days in groupby(compared, key=lambda each: each.key.instrument.key):
        known = {each.key.day: each for each in days}
        for at, (month, dates) in enumerate(groupby(every, key=lambda day: f"{day:%Y-%m}")):
            wanted = list(dates)
            blank = "<i></i>" * (wanted[0].day - 1)
            marks = "".join(_day(known.get(day), f"{symbol} {day}") for day in wanted)
            name = f"<th>{escape(symbol)}</th>" if at == 0 else "<th></th>"
            rows.append(f"<tr>{name}<th>{month}</th><td>{blank}{marks}</td></tr>")
    return f"<div class=wide><table class=calendar>{''.join(rows)}</table></div>"


def _day(each: Compared | None, name: str) -> str:
    if each is None:
        return f'<i class=x title="{escape(name)}: no books"></i>'
    letter = _CLASSES[each.verdict]
    failed = ", ".join(failure.gate for failure in each.failures[:4]) + (
        " …" if len(each.failures) > 4 else ""
    )
    told = f"{name}: {each.verdict}" + (f" ({failed or each.said})" if failed or each.said else "")
    if not each.report:
        return f'<i class={letter} title="{escape(told)}">{_MARKS[letter]}</i>'
    return f'<a class={letter} href="{escape(each.report)}" title="{escape(told)}">{_MARKS[letter]}</a>'


def _gates(compared: Sequence[Compared]) -> str:
    counts = count_gates(compared)
    if not counts:
        return "<p class=muted>None.</p>"
    heads = (
        ("gate", False),
        ("fails on days", True),
        ("required", False),
        ("farthest from it", True),
        ("where", False),
    )
    rows = (
        f"<tr><td>{escape(count.gate)}{'' if count.worst.is_error else ' <span class=muted>(warning)</span>'}</td>"
        f"<td class=number>{count.failed:,}</td><td>{escape(count.worst.bar)}</td>"
        f"<td class=number>{number_text(count.worst.value, bar=count.worst.bar)}</td>"
        f"<td>{escape(str(count.where))}</td></tr>"
        for count in counts
    )
    return headed_table(heads, rows)


def _worst(compared: Sequence[Compared]) -> str:
    worst = [each for each in worst_first(compared) if each.verdict != "faithful"]
    if not worst:
        return "<p class=muted>All days are faithful.</p>"
    heads = (("symbol and day", False), ("verdict", False), ("gates", True), ("what fails", False))
    rows = (
        f"<tr><td>{_link(each)}</td><td>{each.verdict}</td><td class=number>{each.gates or ''}</td>"
        f"<td class=what>{_failures(each)}</td></tr>"
        for each in worst[:LISTED]
    )
    more = f"<p class=muted>And {len(worst) - LISTED:,} more.</p>" if len(worst) > LISTED else ""
    return headed_table(heads, rows) + more


def _link(each: Compared) -> str:
    name = escape(str(each.key))
    return f'<a href="{escape(each.report)}">{name}</a>' if each.report else name


def _failures(each: Compared) -> str:
    said = [escape(each.said)] if each.said else []
    return "<br>".join([*said, *map(_failure, each.failures)])


def _failure(failure: Failure) -> str:
    kind = "" if failure.is_error else " (warning)"
    return (
        f"<b>{escape(failure.gate)}</b>{kind}: {number_text(failure.value, bar=failure.bar)}, "
        f"required {escape(failure.bar)}"
    )
