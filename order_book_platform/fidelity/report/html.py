"""What all pages share: one document that opens anywhere, in the colours of light or dark as the reader prefers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from order_book_platform.model import on_its_side

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--panel:#f6f8fa;--ink:#1b1f24;--muted:#57606a;--line:#d8dee4;
--good:#00694d;--good-ground:#dff3ea;--bad:#a3132f;--bad-ground:#fde8ec;--warn:#7a4d00;--warn-ground:#fdf0d0}
@media (prefers-color-scheme:dark){:root{--ground:#16191d;--panel:#1f2429;--ink:#e6e9ed;--muted:#9aa4af;
--line:#323940;--good:#5fd3a6;--good-ground:#12352a;--bad:#ff97a8;--bad-ground:#431722;--warn:#f0c05a;
--warn-ground:#3d2f0e}}
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
.warn{background:var(--warn-ground);color:var(--warn)}
.fail{background:var(--bad-ground);color:var(--bad)}
figure{margin:14px 0 0}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.82rem}
th,td{padding:5px 7px;vertical-align:top;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-weight:600}
td.number,th.number{text-align:right}
td.what{white-space:normal;min-width:15em}
td.what small{display:block;color:var(--muted);line-height:1.35}
td.ok{color:var(--good);font-weight:600}
td.no{color:var(--bad);font-weight:600}
a{color:inherit}
details{margin:14px 0;border:1px solid var(--line);border-radius:8px;padding:8px 14px;background:var(--panel)}
summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:8px 0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
code{font:.85em ui-monospace,SFMono-Regular,Menlo,monospace}
@media print{details{border:0;padding:0}}
"""


def document(title: str, parts: Iterable[str], style: str = "") -> str:
    """The whole document; refers to nothing outside itself.

    Args:
        title: of the window, not yet escaped.
        parts: of the body, as markup.
        style: more of it, for this page alone.
    """
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"</body>\n</html>\n"
    )


def number_text(value: float | None, digits: int = 6, bar: str = "") -> str:
    """A figure for people: whole numbers in full, others to `digits` significant digits, None as `not measured`.

    Args:
        value: the figure; NaN and infinity are written as such.
        digits: more of them are shown where the rounded figure would be on the other side of the bar.
        bar: that it is held against, such as `>= 0.999`.
    """
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return f"{value}"

    def write(digits: int) -> str:
        whole = value == round(value) or abs(value) >= 10.0**digits
        return f"{value:,.0f}" if whole else f"{value:.{digits}g}"

    return on_its_side(value, bar, write, digits)


def headed_table(heads: Iterable[tuple[str, bool]], rows: Iterable[str]) -> str:
    """A table that scrolls sideways rather than the page.

    Args:
        heads: title of a column, not yet escaped, and whether it holds numbers.
        rows: as markup, `<tr>…</tr>` each.
    """
    titles = "".join(f"<th{' class=number' * number}>{escape(title)}</th>" for title, number in heads)
    return f"<div class=wide><table><tr>{titles}</tr>{''.join(rows)}</table></div>"
