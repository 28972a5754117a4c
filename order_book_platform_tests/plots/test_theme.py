"""The colours of both grounds."""

from __future__ import annotations

import pytest

from order_book_platform.plots.theme import DARK, LIGHT, MARK, Theme, mix


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = (value / 255 for value in bytes.fromhex(colour[1:]))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Ratio of two colours' luminance, from 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_words_can_be_read_on_their_ground(theme: Theme) -> None:
    """Titles and labels have the contrast that WCAG 2 AA asks of small text, marks that of graphics."""
    assert contrast(theme.ink, theme.ground) >= 4.5
    assert contrast(theme.muted, theme.ground) >= 4.5
    assert (
        min(contrast(colour, theme.ground) for colour in (theme.bid, theme.ask, theme.bad, theme.placebo))
        >= 3
    )
    assert min(contrast(MARK, colour) for colour in (theme.bid, theme.ask, theme.bad, theme.doubt)) >= 3


def test_colours_are_given_to_styles_by_name() -> None:
    """Each colour has a declaration; both themes have the same names and different grounds."""
    declarations = [line.split(":") for line in LIGHT.variables().split(";")]
    assert dict(declarations)["--plot-ink"] == LIGHT.ink
    assert [name for name, _ in declarations] == [line.split(":")[0] for line in DARK.variables().split(";")]
    assert LIGHT.ground != DARK.ground


def test_a_mixture_lies_between() -> None:
    """The amount leads from the one colour to the other."""
    assert [mix("#000000", "#ffffff", part) for part in (0, 0.5, 1)] == ["#000000", "#808080", "#ffffff"]
