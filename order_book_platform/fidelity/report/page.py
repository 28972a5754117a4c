"""report.html: one file that opens anywhere, verdict first, light or dark as the reader prefers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from order_book_platform.fidelity.metrics.metric import Metric, failed_gates
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.fidelity.report.charts import Figure
from order_book_platform.fidelity.report.html import document, headed_table, number_text
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.plots import STYLE

_METHOD = {
    "Held out": """Only snapshots after the seed that neither seeded, extended nor repaired the book, nor were rejected
        as candidates for it, count as evidence. Those that are unfit in themselves, of another day or far from any
        price of the day are left out and counted.""",
    "Alignment": """A snapshot with sequence number s is compared with the last book row whose number is not above s. A
        book row is compared with the last ticker whose number, or by time whose time, is not above its own. Without a
        partner: unmatched.""",
    "Placebo": """Every figure is measured a second and a third time against the reference as it was 1 s and 10 s
        later. These must fail the gate: a metric that cannot fail shows nothing. A trade's placebo is the price of the
        first trade 1 s and 10 s later. Distributions hardly change from second to second: ks, tv and w1 are measured
        against the reference without its best bid, and without its best ask.""",
    "Distributions": """Spread, best sizes and queue imbalance of the compared rows, book against reference; each
        state weighs the time until the next. ks is the largest difference of the cumulative shares, tv the share that
        would have to change, w1 how far it would have to move.""",
    "By time": """Two streams of one exchange agree by time less often than by number: many tickers share a millisecond.
        So only prices are gated by time, by the clock T; by E they warn, and by arrival they are reported.""",
    "Known range": """A book seeded from a few levels does not know what lies beyond them, and says so row by row.
        Levels count as missing or ghost only inside the prices that both the book and the reference cover.""",
    "Right and known": """How right a book is and how much it knows are scored apart. bbo_rms_seq and topk_exact look
        at what it claims to know; bbo_known_share, topk_known_share and topk_exact_all at how much that is.
        bbo_exact_seq, bbo_rms_all and the chart of best prices count every row, claimed or not.""",
    "Severity": """An error means that the book is not faithful. A warning means that it knows less than it should,
        so that somebody should look.""",
    "Not measured": "A metric without observations has no value and fails its gate.",
}


_GUIDE = (
    "Green or red above is the answer; what fails is listed with its figure, its bar and what it means.",
    """The plots then show where in the day and how deep in the book it fails. In all of them the book ought to look
    like its reference and unlike the placebo, a reference spoiled on purpose.""",
    "The table has every figure with its number of observations, what could not be matched, and its placebos.",
)
_STYLE = f"""{STYLE}
td small{{color:var(--muted)}}
.guide{{color:var(--muted);padding-left:20px;margin:8px 0}}
figure figcaption{{color:var(--muted);font-size:.86rem;margin:0 0 4px}}
.drawing{{overflow-x:auto;border:1px solid var(--line);border-radius:8px;padding:8px 6px 2px}}
.drawing .plot{{min-width:820px}}
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page shows.

    Attributes:
        key: symbol and day.
        gates: gated metrics held against their gates.
        metrics: all metrics.
        references: what became of the rows of each reference dataset.
        figures: in the order in which they are shown.
        provenance: inputs and hashes, name to text.
    """

    key: PartitionKey
    gates: tuple[GateResult, ...]
    metrics: tuple[Metric, ...]
    references: Mapping[str, ReferenceCounts]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, str]


def render_page(page: Page) -> str:
    """The whole document; refers to nothing outside itself."""
    title = f"Fidelity of {page.key.instrument.key}, {page.key.day.isoformat()}"
    noted = [metric for metric in page.metrics if metric.note]
    gated = [metric for metric in noted if metric.gate is not None]
    other = [metric for metric in noted if metric.gate is None]
    parts = (
        f"<h1>{escape(title)}</h1>",
        _verdict(page.gates),
        _guide(),
        *(_figure(figure) for figure in page.figures),
        "<h2>Gates</h2>",
        _table(gated),
        "<h2>Figures without a gate</h2>",
        _folded(f"{len(other)} more figures of the day", _table(other)),
        _by_level(page.metrics),
        "<h2>Evidence</h2>",
        _references(page.references),
        "<h2>How it is measured</h2>",
        _folded("What counts, how it is aligned, what a placebo is", _definitions(_METHOD)),
        "<h2>Made from</h2>",
        _definitions(page.provenance, code=True),
    )
    return document(title, parts, _STYLE)


def _guide() -> str:
    return f"<ul class=guide>{''.join(f'<li>{escape(line)}</li>' for line in _GUIDE)}</ul>"


def _folded(summary: str, content: str) -> str:
    """What is long and seldom wanted."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _verdict(gates: tuple[GateResult, ...]) -> str:
    errors, warnings = (failed_gates(gates, severity) for severity in (Severity.ERROR, Severity.WARN))
    if errors:
        kind, words = "fail", f"Not faithful: {len(errors)} of {len(gates)} gates fail"
    elif warnings:
        kind, words = "pass", f"Faithful: {len(gates) - len(warnings)} of {len(gates)} gates hold"
    else:
        kind, words = "pass", f"Faithful: all {len(gates)} gates hold"
    if warnings:
        words += f", {len(warnings)} {'warns' if len(warnings) == 1 else 'warn'}"
    items = "".join(
        f"<li><b>{escape(gate.name)}</b>{' (warning)' if gate in warnings else ''}: "
        f"{number_text(gate.value, bar=gate.gate)}, required {escape(gate.gate)}. {escape(gate.note)}</li>"
        for gate in (*errors, *warnings)
    )
    listed = f"<ul>{items}</ul>" if items else ""
    return f'<div class="verdict {kind}"><strong>{words}.</strong>{listed}</div>'


def _figure(figure: Figure) -> str:
    return (
        f"<figure><h2>{escape(figure.title)}</h2><figcaption>{escape(figure.read)}</figcaption>"
        f"<div class=drawing>{figure.svg.inline()}</div></figure>"
    )


def _table(metrics: Iterable[Metric]) -> str:
    heads = (
        ("metric", False),
        ("against, aligned by", False),
        ("value", True),
        ("gate", False),
        ("", False),
        ("n", True),
        ("unmatched", True),
        ("placebos", True),
        ("they fail", False),
    )
    return headed_table(heads, map(_row, metrics))


def _row(metric: Metric) -> str:
    bar = str(metric.gate or "")
    spoiled = (
        f"{number_text(value, 3, bar)} <small>{name.replace('_', ' ')}</small>"
        for name, value in zip(metric.spoiled, metric.placebos, strict=False)
    )
    fails = "warn" if metric.gate is not None and metric.gate.severity is Severity.WARN else "FAIL"
    return (
        f"<tr><td class=what>{escape(metric.name)}<small>{escape(metric.note)}</small></td>"
        f"<td>{escape(metric.reference)}<br><small>{escape(metric.alignment.replace('_', ' '))}</small></td>"
        f"<td class=number>{number_text(metric.value, bar=bar)}</td><td>{escape(bar)}</td>"
        f"{_mark(None if metric.result is None else metric.result.passed, 'pass', fails)}"
        f"<td class=number>{metric.n:,}</td><td class=number>{metric.unmatched:,}</td>"
        f"<td class=number>{'<br>'.join(spoiled)}</td>"
        f"{_mark(metric.placebo_fails, 'yes', 'NO')}</tr>"
    )


def _mark(holds: bool | None, yes: str, no: str) -> str:
    if holds is None:
        return "<td></td>"
    return f"<td class=ok>{yes}</td>" if holds else f"<td class=no>{no}</td>"


def _by_level(metrics: tuple[Metric, ...]) -> str:
    head = "<tr><th>metric</th><th class=number>value</th><th class=number>n</th><th class=number>placebo 1 s</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(metric.name)}</td><td class=number>{number_text(metric.value)}</td>"
        f"<td class=number>{metric.n:,}</td>"
        f"<td class=number>{number_text(metric.placebos[0]) if metric.placebos else ''}</td></tr>"
        for metric in metrics
        if not metric.note
    )
    return _folded("Every level, side and lag", f"<div class=wide><table>{head}{rows}</table></div>")


def _references(references: Mapping[str, ReferenceCounts]) -> str:
    titles = ("rows", "held out", "used for the book", "before the seed", "after the end", "out of order")
    numbers = "".join(f"<th class=number>{title}</th>" for title in titles)
    head = f"<tr><th>dataset</th>{numbers}<th>unfit or doubtful</th></tr>"
    rows = ""
    for name, counts in references.items():
        others = {name: getattr(counts, name) for name in ("other_day", "far_off", "doubtful")}
        unfit = ", ".join(
            f"{number:,} {defect.replace('_', ' ')}"
            for defect, number in {**counts.defects, **others}.items()
            if number
        )
        cells = "".join(
            f"<td class=number>{number:,}</td>"
            for number in (
                counts.rows,
                counts.held_out,
                counts.used,
                counts.before_seed,
                counts.after_end,
                counts.out_of_order,
            )
        )
        rows += f"<tr><td>{escape(name)}</td>{cells}<td>{unfit or 'none'}</td></tr>"
    return f"<div class=wide><table>{head}{rows}</table></div>"


def _definitions(texts: Mapping[str, str], *, code: bool = False) -> str:
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{f'<code>{escape(text)}</code>' if code else escape(text)}</dd>"
        for name, text in texts.items()
    )
    return f"<dl>{items}</dl>"
