"""Figures as SVG text: drawn once for a light and a dark ground, in milliseconds, with text that can be selected.

A figure names its colours by CSS variables, so that the page, or the reader's own setting, chooses between light and
dark. Inside a page it takes them from the page's style; as a file or a data URI it carries them. docs/adr/0017 says
why no plotting library draws the figures. Colour-blind readers can tell the colours of the data apart: on the light
ground they are those of Okabe and Ito, on the dark one lighter ones of like hue.
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

COLOURS = {
    "ground": ("#ffffff", "#16191d"),
    "ink": ("#1b1f24", "#e6e9ed"),  # titles, and marks that matter
    "muted": ("#57606a", "#9aa4af"),  # labels of axes, ticks
    "grid": ("#e4e7eb", "#2b3138"),
    "bid": ("#0072b2", "#56b4e9"),  # bids, and whatever is right
    "ask": ("#d55e00", "#f0913a"),
    "placebo": ("#8c959f", "#7d8792"),  # references that were spoiled on purpose and have to look wrong
    "doubt": ("#e69f00", "#e6b800"),  # doubtful data, gaps
    "bad": ("#cc3377", "#f07fb2"),  # what is proven to be wrong
}
"""Colours of all figures by name, each `#rrggbb` on the light and on the dark ground."""
LIGHT, DARK = ({name: pair[ground] for name, pair in COLOURS.items()} for ground in (0, 1))
MARK = "#16191d"
"""Colour of a mark on a filled shape; it can be read on the colours of the data on either ground."""


def mix(ground: str, colour: str, amount: float) -> str:
    """Return the colour that lies `amount`, from 0 to 1, of the way from one colour to another, all `#rrggbb`."""
    pairs = zip(bytes.fromhex(ground[1:]), bytes.fromhex(colour[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * amount) for a, b in pairs).hex()


WIDTH_PX = 1100
Anchor = Literal["start", "middle", "end"]

_COLOUR_CLASSES = "".join(
    f".plot .s-{name}{{stroke:var(--plot-{name})}}.plot .f-{name}{{fill:var(--plot-{name})}}"
    for name in COLOURS
)
_LIGHT_ROOT, _DARK_ROOT = (
    ":root{" + ";".join(f"--plot-{name}:{colour}" for name, colour in theme.items()) + "}"
    for theme in (LIGHT, DARK)
)
STYLE = f"""
{_LIGHT_ROOT}
@media (prefers-color-scheme:dark){{{_DARK_ROOT}}}
.plot{{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}}
.plot text{{fill:var(--plot-muted)}}
.plot text.h{{fill:var(--plot-ink);font-size:13px;font-weight:600}}
.plot text.k{{fill:var(--plot-ink)}}
.plot text.m{{fill:{MARK}}}
.plot path{{fill:none;stroke-linejoin:round}}
.plot .p{{stroke-linecap:round}}
.plot .g{{stroke:var(--plot-grid);stroke-width:.8}}
.plot .dark{{display:none}}
@media (prefers-color-scheme:dark){{.plot .dark{{display:inline}}.plot .light{{display:none}}}}
{_COLOUR_CLASSES}
"""
"""CSS of all figures; a page that shows figures contains it once."""

_NARROW = frozenset(" .,:;'|()ijltfr1")
"""Letters about half as wide as the others."""


def pixels(values: ArrayLike) -> list[str]:
    """Write coordinates, of any shape, as flat text, to a tenth of a pixel and without needless zeros."""
    return [
        f"{value:.1f}".removesuffix(".0") for value in np.asarray(values, dtype=np.float64).ravel().tolist()
    ]


class Svg:
    """A figure to which elements are added; a later element covers an earlier one.

    It is `WIDTH_PX` wide and `height_px` high, and `title` says what it shows, for readers who cannot see it. Colours
    are named as in `COLOURS`.
    """

    def __init__(self, height_px: int, title: str) -> None:
        self.height_px = height_px
        self._title = title
        self._parts: list[str] = []

    def add(self, markup: str) -> None:
        """Append an element that has been written already."""
        self._parts.append(markup)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        kind: str = "",
        anchor: Anchor = "start",
        upwards: bool = False,
    ) -> None:
        """Write a line of text, escaped, whose `anchor` lies at `x` and whose base line lies at `y`, px.

        The kind is `h` for a heading, `k` for text in ink, `m` for a mark on a filled shape; else the text is muted.
        """
        x_text, y_text = pixels([x, y])
        turn = f' transform="rotate(-90 {x_text} {y_text})"' if upwards else ""
        style = f' class="{kind}"' if kind else ""
        ends = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.add(f'<text x="{x_text}" y="{y_text}"{style}{ends}{turn}>{escape(words)}</text>')

    def path(
        self, data: str, colour: str, *, width: float = 1.5, dashed: bool = False, title: str = ""
    ) -> None:
        """Draw a line of `width` px along SVG path data, nothing if they are empty.

        The colour may be followed by further CSS classes; the title is shown under the pointer.
        """
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._shape(f'class="s-{colour}" stroke-width="{width:g}"{dash}', data, title)

    def dots(
        self, x: Float64Array, y: Float64Array, colour: str, *, width: float = 4.0, title: str = ""
    ) -> None:
        """Draw dots of `width` px at float64[n] coordinates, px; one with a NaN coordinate is left out."""
        shown = ~(np.isnan(x) | np.isnan(y))
        data = "".join(f"M{a} {b}h0" for a, b in zip(pixels(x[shown]), pixels(y[shown]), strict=True))
        self.path(data, f"{colour} p", width=width, title=title)

    def area(self, data: str, colour: str, *, opacity: float = 1.0, title: str = "") -> None:
        """Fill closed SVG paths, nothing if the data are empty; opacity 0 is invisible."""
        self._shape(f'style="fill:var(--plot-{colour});fill-opacity:{opacity:g}"', data, title)

    def _shape(self, style: str, data: str, title: str) -> None:
        if data:
            hint = f"><title>{escape(title)}</title></path>" if title else "/>"
            self.add(f'<path {style} d="{data}"{hint}')

    def rect(self, style: str, left: float, top: float, width: float, height: float, more: str = "") -> None:
        """Draw a rectangle, px, with round corners, CSS classes `style` and further attributes."""
        self.add(f'<rect class="{style}" {box_attributes(left, top, width, height)} rx="2"{more}/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = "grid") -> None:
        """Draw a straight line between two points, px; lines of the grid are thinner."""
        ends = pixels([x1, y1, x2, y2])
        style = "g" if colour == "grid" else f"s-{colour}"
        self.add('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(style, *ends))

    def legend(self, right: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """Explain colours, from left to right, in one row that ends at `right` and has its base line at `y`, px."""
        for words, colour in reversed(entries):
            self.text(right, y, words, kind="k", anchor="end")
            left = right - text_width(words) - 20
            self.rect(f"f-{colour}", left, y - 7.5, 14, 7)
            right = left - 12

    def inline(self) -> str:
        """Return the figure as markup for a page that contains `STYLE`."""
        return self._document("", "")

    def standalone(self) -> str:
        """Return the figure as a file that carries its style and its ground."""
        style = f"<style>{STYLE}</style>"
        ground = f'<rect class="f-ground" width="{WIDTH_PX}" height="{self.height_px}"/>'
        size = f'width="{WIDTH_PX}" height="{self.height_px}"'
        return self._document(f' xmlns="http://www.w3.org/2000/svg" {size}', style + ground)

    def _document(self, attributes: str, before: str) -> str:
        box = f'viewBox="0 0 {WIDTH_PX} {self.height_px}"'
        head = f'<svg{attributes} class="plot" role="img" {box}>{before}<title>{escape(self._title)}</title>'
        return head + "".join(self._parts) + "</svg>"


def text_width(words: str) -> float:
    """Estimate how wide a text is, px; there is no font to measure it with."""
    return sum(4.0 if letter in _NARROW else 11.0 if letter in "%mw" else 7.0 for letter in words)


def line_path(x: Float64Array, y: Float64Array) -> str:
    """Return path data of a line through float64[n] points, px, interrupted where a coordinate is NaN."""
    data, command = [], "M"
    for point in zip(x.tolist(), y.tolist(), strict=True):
        if any(map(math.isnan, point)):
            command = "M"
        else:
            data.append(command + " ".join(pixels(point)))
            command = "L"
    return "".join(data)


def step_path(edges: Float64Array, y: Float64Array) -> str:
    """Return path data of steps: height `y[i]` from `edges[i]` to `edges[i + 1]`, px, no step where `y[i]` is NaN.

    `edges` is float64[n + 1], `y` float64[n]. Neighbouring steps of equal height become one, so that a day without
    change is one line.
    """
    data: list[str] = []
    previous = np.nan
    left, right = pixels(edges[:-1]), pixels(edges[1:])
    end = ""
    for index, (height, text) in enumerate(zip(y.tolist(), pixels(y), strict=True)):
        if math.isnan(height):
            data.append(end)
            end, previous = "", np.nan
            continue
        if math.isnan(previous):
            data.append(f"M{left[index]} {text}")
        elif height != previous:
            data.append(f"H{left[index]}V{text}")
        end, previous = f"H{right[index]}", height
    return "".join([*data, end])


def box_path(x: ArrayLike, y: ArrayLike, width: ArrayLike, height: ArrayLike) -> str:
    """Return path data of rectangles, each argument float64[n] or a number, px; x and y are left and upper edges."""
    columns = (pixels(column) for column in np.broadcast_arrays(x, y, width, height))
    return "".join(f"M{a} {b}h{c}v{d}h-{c}z" for a, b, c, d in zip(*columns, strict=True))


def box_attributes(left: float, top: float, width: float, height: float) -> str:
    """Write the attributes that place an element, px."""
    return 'x="{}" y="{}" width="{}" height="{}"'.format(*pixels([left, top, width, height]))


def data_uri(image: bytes, kind: str) -> str:
    """Return an image, `png` or `svg+xml`, as `data:image/…;base64,…`: pages and metadata refer to no other file."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")
