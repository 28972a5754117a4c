"""Figures as SVG text: drawn once for both grounds, in milliseconds, with words that can be read out and selected.

A figure names its colours by CSS variables, so that the page, or the reader's own setting, chooses between light and
dark. Inside a page it takes them from the page's style; alone, as a file or a data URI, it carries them. docs/adr/0017
says why it is not drawn by matplotlib: a pair of PNGs took 0.27 s of a core a figure, these take 1 to 20 ms.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from order_book_platform.model.arrays import Float64Array
from order_book_platform.plots.theme import DARK, LIGHT

WIDTH_PX = 1100
Anchor = Literal["start", "middle", "end"]

COLOURS = f"""
:root{{{LIGHT.variables()}}}
@media (prefers-color-scheme:dark){{:root{{{DARK.variables()}}}}}
"""
_STROKED = "".join(
    f".s-{name}{{stroke:var(--plot-{name})}}.f-{name}{{fill:var(--plot-{name})}}"
    for name in LIGHT.__dataclass_fields__
)
STYLE = f"""{COLOURS}
.plot{{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}}
.plot text{{fill:var(--plot-muted)}}
.plot text.h{{fill:var(--plot-ink);font-size:13px;font-weight:600}}
.plot text.k{{fill:var(--plot-ink)}}
.plot path{{fill:none;stroke-linejoin:round}}
.plot .p{{stroke-linecap:round}}
.plot .g{{stroke:var(--plot-grid);stroke-width:.8}}
.plot .dark{{display:none}}
@media (prefers-color-scheme:dark){{.plot .dark{{display:inline}}.plot .light{{display:none}}}}
.plot {_STROKED.replace("}.", "}.plot .")}
"""
"""Style of everything a figure is made of; a page that shows figures has it once."""


_NARROW = frozenset(" .,:;'|()ijltfr1")
"""Letters about half as wide as others."""


def pixels(values: ArrayLike) -> list[str]:
    """Coordinates as text, to a tenth of a pixel, as short as they can be."""
    return [
        f"{value:.1f}".removesuffix(".0") for value in np.asarray(values, dtype=np.float64).ravel().tolist()
    ]


class Svg:
    """A figure in the making; everything is drawn over what was drawn before.

    Args:
        height_px: of the whole figure; it is `WIDTH_PX` wide.
        title: what it shows, for those who cannot see it.

    Attributes:
        height_px: the same.
    """

    def __init__(self, height_px: int, title: str) -> None:
        self.height_px = height_px
        self._title = title
        self._parts: list[str] = []

    def add(self, markup: str) -> None:
        """Append an element."""
        self._parts.append(markup)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        kind: str = "",
        anchor: Anchor = "start",
        turned: bool = False,
    ) -> None:
        """Write words.

        Args:
            x: where they start, have their middle or end, px.
            y: their base line, px.
            words: not yet escaped.
            kind: `h` heading, `k` key to colours; muted otherwise.
            anchor: what of them lies at `x`.
            turned: from bottom to top.
        """
        at, up = pixels([x, y])
        turn = f' transform="rotate(-90 {at} {up})"' if turned else ""
        style = f' class="{kind}"' if kind else ""
        ends = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text x="{at}" y="{up}"{style}{ends}{turn}>{escape(words)}</text>')

    def path(
        self, course: str, kind: str, *, width: float = 1.5, dashed: bool = False, title: str = ""
    ) -> None:
        """Draw a line.

        Args:
            course: SVG path data; nothing is drawn where it is empty.
            kind: colour by its name in `Theme`.
            width: px.
            dashed: broken rather than whole.
            title: shown under the pointer.
        """
        if not course:
            return
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        shape = f'class="s-{kind}" stroke-width="{width:g}"{dash} d="{course}"'
        self.add(f"<path {shape}><title>{escape(title)}</title></path>" if title else f"<path {shape}/>")

    def dots(
        self, x: Float64Array, y: Float64Array, kind: str, *, width: float = 4.0, title: str = ""
    ) -> None:
        """Draw dots at places in px; none where one is NaN. Other arguments as of `path`."""
        shown = ~(np.isnan(x) | np.isnan(y))
        course = "".join(f"M{a} {b}h0" for a, b in zip(pixels(x[shown]), pixels(y[shown]), strict=True))
        self.path(course, f"{kind} p", width=width, title=title)

    def area(self, course: str, kind: str, *, opacity: float = 1.0, title: str = "") -> None:
        """Fill closed paths; arguments as of `path`."""
        if not course:
            return
        shape = f'style="fill:var(--plot-{kind});fill-opacity:{opacity:g}" d="{course}"'
        self.add(f"<path {shape}><title>{escape(title)}</title></path>" if title else f"<path {shape}/>")

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "g") -> None:
        """A straight line; `g` is that of a grid, others are colours by name."""
        ends = pixels([x1, y1, x2, y2])
        style = "g" if kind == "g" else f"s-{kind}"
        self.add('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(style, *ends))

    def legend(self, right: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """A key to colours in one row that ends at `right`.

        Args:
            right: px.
            y: base line, px.
            entries: words and colour by name, from left to right.
        """
        for words, colour in reversed(entries):
            self.text(right, y, words, kind="k", anchor="end")
            left = right - text_width(words) - 20
            self.add(
                '<rect class="f-{}" x="{}" y="{}" width="14" height="7" rx="2"/>'.format(
                    colour, *pixels([left, y - 7.5])
                )
            )
            right = left - 12

    def inline(self) -> str:
        """The figure for a page that has `STYLE`."""
        return self._document("", "")

    def alone(self) -> str:
        """The figure as a file of its own, on its own ground."""
        style = f"<style>{STYLE}</style>"
        ground = f'<rect class="f-ground" width="{WIDTH_PX}" height="{self.height_px}"/>'
        return self._document(' xmlns="http://www.w3.org/2000/svg"', style + ground)

    def _document(self, attributes: str, before: str) -> str:
        size = f'viewBox="0 0 {WIDTH_PX} {self.height_px}"'
        if attributes:
            size += f' width="{WIDTH_PX}" height="{self.height_px}"'
        head = f'<svg{attributes} class="plot" role="img" {size}>{before}<title>{escape(self._title)}</title>'
        return head + "".join(self._parts) + "</svg>"


def text_width(words: str) -> float:
    """About how wide words are, px; no font is at hand to measure them."""
    return sum(4.0 if letter in _NARROW else 11.0 if letter in "%mw" else 7.0 for letter in words)


def broken_line(x: Float64Array, y: Float64Array) -> str:
    """Path data of a line through points; it breaks off where a point is NaN."""
    course, pen = [], False
    for at, up in zip(x.tolist(), y.tolist(), strict=True):
        if math.isnan(at) or math.isnan(up):
            pen = False
            continue
        course.append(f"{'L' if pen else 'M'}{' '.join(pixels([at, up]))}")
        pen = True
    return "".join(course)


def stairs(edges: Float64Array, y: Float64Array) -> str:
    """Path data of steps: height `y[i]` from `edges[i]` to `edges[i + 1]`; no step where it is NaN.

    Steps of equal height are one, so that a day without change is one line.

    Args:
        edges: float64[n + 1] px.
        y: float64[n] px.
    """
    course: list[str] = []
    before = np.nan
    left, right = pixels(edges[:-1]), pixels(edges[1:])
    end = ""
    for at, (up, text) in enumerate(zip(y.tolist(), pixels(y), strict=True)):
        if math.isnan(up):
            course.append(end)
            end, before = "", np.nan
            continue
        if math.isnan(before):
            course.append(f"M{left[at]} {text}")
        elif up != before:
            course.append(f"H{left[at]}V{text}")
        end, before = f"H{right[at]}", up
    return "".join([*course, end])


def boxes(x: ArrayLike, y: ArrayLike, width: ArrayLike, height: ArrayLike) -> str:
    """Path data of rectangles, all float64[n] px: left edges, upper edges, widths, heights."""
    columns = (pixels(column) for column in np.broadcast_arrays(x, y, width, height))
    return "".join(f"M{a} {b}h{c}v{d}h-{c}z" for a, b, c, d in zip(*columns, strict=True))


def data_uri(image: bytes, kind: str) -> str:
    """Bytes as `data:image/…;base64,…`, for pages and metadata that must stand alone.

    Args:
        image: the file.
        kind: `png` or `svg+xml`.
    """
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")
