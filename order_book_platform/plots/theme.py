"""Colours of all figures on a light and on a dark ground; colour-blind readers can tell them apart.

The colours of the data are those of Okabe and Ito on the light ground, and lighter ones of like hue on the dark one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure on one ground, each as `#rrggbb`.

    Attributes:
        ground: Colour behind everything.
        ink: Titles, and marks that matter.
        muted: Labels of axes, ticks.
        grid: Lines that should not be noticed.
        bid: Bids, and whatever is right.
        ask: Asks.
        placebo: References that were spoiled on purpose and have to look wrong.
        doubt: Doubtful data, gaps.
        bad: What is proven to be wrong.
    """

    ground: str
    ink: str
    muted: str
    grid: str
    bid: str
    ask: str
    placebo: str
    doubt: str
    bad: str

    def variables(self) -> str:
        """Return the colours as CSS variables, such as `--plot-ink:#1b1f24`, separated by semicolons."""
        return ";".join(f"--plot-{name}:{colour}" for name, colour in asdict(self).items())


LIGHT = Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e7eb", "#0072b2", "#d55e00", "#8c959f", "#e69f00", "#cc3377"
)
DARK = Theme(
    "#16191d", "#e6e9ed", "#9aa4af", "#2b3138", "#56b4e9", "#f0913a", "#7d8792", "#e6b800", "#f07fb2"
)
MARK = "#16191d"
"""Colour of a mark on a filled shape; it can be read on the colours of the data on either ground."""


def mix(ground: str, colour: str, amount: float) -> str:
    """Return the colour between two others, as `#rrggbb`.

    Args:
        ground: The colour at amount 0, `#rrggbb`.
        colour: The colour at amount 1, `#rrggbb`.
        amount: From 0 to 1.
    """
    pairs = zip(bytes.fromhex(ground[1:]), bytes.fromhex(colour[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * amount) for a, b in pairs).hex()
