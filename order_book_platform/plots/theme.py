"""Colours of all figures, on a light and on a dark ground; safe for colour-blind readers (Okabe and Ito)."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a figure on one ground, as `#rrggbb`.

    Attributes:
        ground: behind everything.
        ink: titles and marks that matter.
        muted: axis labels, ticks.
        grid: lines that must not be noticed.
        bid: bids, and whatever is right.
        ask: asks.
        placebo: what must look wrong.
        doubt: doubtful data, gaps.
        bad: proven wrong.
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
        """The colours as CSS variables, such as `--plot-ink:#1b1f24`, one declaration after the other."""
        return ";".join(f"--plot-{name}:{colour}" for name, colour in asdict(self).items())


LIGHT = Theme(
    "#ffffff", "#1b1f24", "#57606a", "#e4e7eb", "#0072b2", "#d55e00", "#8c959f", "#e69f00", "#cc3377"
)
DARK = Theme(
    "#16191d", "#e6e9ed", "#9aa4af", "#2b3138", "#56b4e9", "#f0913a", "#7d8792", "#e6b800", "#f07fb2"
)


def mix(ground: str, colour: str, amount: float) -> str:
    """`#rrggbb` between the two: 0 is the ground, 1 the colour."""
    pairs = zip(bytes.fromhex(ground[1:]), bytes.fromhex(colour[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * amount) for a, b in pairs).hex()
