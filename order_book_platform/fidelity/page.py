"""report.html: one file that opens anywhere, verdict first, light or dark as the reader prefers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from order_book_platform.fidelity.figures import Figure
from order_book_platform.fidelity.references import ReferenceCounts
from order_book_platform.fidelity.results import Metric, failed_gates
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.plots import data_uri

_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f8fa;--ink:#1b1f24;--muted:#57606a;--line:#d8dee4;
--good:#00694d;--good-ground:#dff3ea;--bad:#a3132f;--bad-ground:#fde8ec}
@media (prefers-color-scheme:dark){:root{--ground:#16191d;--panel:#1f2429;--ink:#e6e9ed;--muted:#9aa4af;
--line:#323940;--good:#5fd3a6;--good-ground:#12352a;--bad:#ff97a8;--bad-ground:#431722}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:1160px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:1.55rem;line-height:1.25;margin:0}
h2{font-size:1.1rem;margin:40px 0 10px}
p{margin:8px 0}
.muted{color:var(--muted)}
.verdict{border-radius:10px;padding:16px 20px;margin:18px 0}
.verdict strong{font-size:1.2rem}
.verdict ul{margin:8px 0 0;padding-left:20px}
.pass{background:var(--good-ground);color:var(--good)}
.fail{background:var(--bad-ground);color:var(--bad)}
figure{margin:14px 0 0}
img{display:block;width:100%;height:auto;border:1px solid var(--line);border-radius:8px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.82rem}
th,td{padding:5px 7px;vertical-align:top;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-weight:600}
td.number,th.number{text-align:right}
td.what{white-space:normal;min-width:15em}
td.what small{display:block;color:var(--muted);line-height:1.35}
td.ok{color:var(--good);font-weight:600}
td.no{color:var(--bad);font-weight:600}
details{margin:14px 0;border:1px solid var(--line);border-radius:8px;padding:8px 14px;background:var(--panel)}
summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:8px 0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
code{font:.85em ui-monospace,SFMono-Regular,Menlo,monospace}
@media print{details{border:0;padding:0}}
"""

_METHOD = {
    "Held out": """Only snapshots after the seed that neither seeded, extended nor repaired the book, nor were rejected
        as candidates for it, count as evidence. Those that are unfit in themselves, of another day or far from any
        price of the day are left out and counted.""",
    "Alignment": """A snapshot with sequence number s is compared with the last book row whose number is not above s. A
        book row is compared with the last ticker whose number, or by time whose time, is not above its own. Without a
        partner: unmatched.""",
    "Placebo": """Every figure is measured a second and a third time against the reference as it was 1 s and 10 s
        later. These must fail the gate: a metric that cannot fail shows nothing. A trade's placebo is the price of the
        first trade 1 s and 10 s later.""",
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
    parts = (
        f"<h1>{escape(title)}</h1>",
        _verdict(page.gates),
        *(_figure(figure) for figure in page.figures),
        "<h2>Gates and metrics</h2>",
        _table(metric for metric in page.metrics if metric.note),
        _by_level(page.metrics),
        "<h2>Evidence</h2>",
        _references(page.references),
        "<h2>How it is measured</h2>",
        _definitions(_METHOD),
        "<h2>Made from</h2>",
        _definitions(page.provenance, code=True),
    )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def number_text(value: float | None, digits: int = 6) -> str:
    """A figure for people: whole numbers in full, others to `digits` significant digits, None as `not measured`."""
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 10.0**digits else f"{value:.{digits}g}"


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
        f"<li><b>{escape(gate.name)}</b>{' (warning)' if gate in warnings else ''}: {number_text(gate.value)}, "
        f"required {escape(gate.gate)}. {escape(gate.note)}</li>"
        for gate in (*errors, *warnings)
    )
    listed = f"<ul>{items}</ul>" if items else ""
    return f'<div class="verdict {kind}"><strong>{words}.</strong>{listed}</div>'


def _figure(figure: Figure) -> str:
    return (
        f'<figure><picture><source media="(prefers-color-scheme:dark)" srcset="{data_uri(figure.dark)}">'
        f'<img alt="{escape(figure.title)}" src="{data_uri(figure.light)}"></picture></figure>'
    )


def _table(metrics: Iterable[Metric]) -> str:
    head = (
        "<tr><th>metric</th><th>against</th><th class=number>value</th><th>gate</th><th></th><th class=number>n</th>"
        "<th class=number>unmatched</th><th>alignment</th><th class=number>placebo, 1 s</th>"
        "<th class=number>10 s</th><th>fails</th></tr>"
    )
    return f"<div class=wide><table>{head}{''.join(_row(metric) for metric in metrics)}</table></div>"


def _row(metric: Metric) -> str:
    late = [number_text(value, 3) for value in metric.placebos] + ["", ""]
    fails = "warn" if metric.gate is not None and metric.gate.severity is Severity.WARN else "FAIL"
    return (
        f"<tr><td class=what>{escape(metric.name)}<small>{escape(metric.note)}</small></td>"
        f"<td>{escape(metric.reference)}</td>"
        f"<td class=number>{number_text(metric.value)}</td><td>{escape(str(metric.gate or ''))}</td>"
        f"{_mark(None if metric.result is None else metric.result.passed, 'pass', fails)}"
        f"<td class=number>{metric.n:,}</td><td class=number>{metric.unmatched:,}</td>"
        f"<td>{escape(metric.alignment)}</td><td class=number>{late[0]}</td><td class=number>{late[1]}</td>"
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
        f"<td class=number>{metric.n:,}</td><td class=number>{number_text(metric.placebos[0])}</td></tr>"
        for metric in metrics
        if not metric.note
    )
    table = f"<div class=wide><table>{head}{rows}</table></div>"
    return f"<details><summary>Every level and side</summary>{table}</details>"


def _references(references: Mapping[str, ReferenceCounts]) -> str:
    titles = ("rows", "held out", "used for the book", "before the seed", "after the end", "out of order")
    numbers = "".join(f"<th class=number>{title}</th>" for title in titles)
    head = f"<tr><th>dataset</th>{numbers}<th>unfit in themselves</th></tr>"
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
