"""Distributions of book and reference side by side."""

from __future__ import annotations

from typing import Any

from order_book_platform.plots.distribution_chart import distribution_chart
from order_book_platform_tests.plots.frames import SVG, drawing, hints, uses_colour, words


def curve(book_shift: float = 0.0, scale: str = "linear") -> dict[str, Any]:
    """Make a state with four bins; the highest quantile of the book is `book_shift` above the reference's."""
    return {
        "words": "spread",
        "unit": "ticks",
        "scale": scale,
        "edges": [1.0, 2.0, 3.0, 4.0, 5.0],
        "reference": [0.1, 0.4, 0.4, 0.1],
        "book": [0.1, 0.4, 0.4, 0.1],
        "placebo": [0.9, 0.1, 0.0, 0.0],
        "probabilities": [0.25, 0.5, 0.75],
        "reference_quantiles": [2.0, 2.5, 3.0],
        "book_quantiles": [2.0, 2.5, 3.0 + book_shift],
        "placebo_quantiles": [1.0, 1.0, 1.5],
    }


def nothing() -> dict[str, Any]:
    """Make a state of which nothing was compared."""
    return {**curve(), **{name: [] for name in curve() if isinstance(curve()[name], list)}}


def test_each_state_has_its_shares_and_its_quantiles() -> None:
    """Each has a column; book, reference and placebo have their colours, and the pointer says where they part."""
    svg = distribution_chart([curve(), curve(1.5)])
    assert svg.standalone() == distribution_chart([curve(), curve(1.5)]).standalone()
    assert [text for text in words(svg) if text == "reference, quantiles"] == ["reference, quantiles"] * 2
    assert "book: farthest at 75 %: 4.5, reference 3" in hints(svg)
    assert "placebo: farthest at 50 %: 1, reference 2.5" in hints(svg)
    assert all(uses_colour(svg, name) for name in ("bid", "ask", "placebo"))


def test_equal_distributions_lie_on_the_diagonal() -> None:
    """Dots of equal quantiles are as far right as they are up; a shifted one is not."""

    def off_diagonal(shift: float) -> float:
        (line,) = (
            e
            for e in drawing(distribution_chart([curve(shift)])).iter(f"{SVG}line")
            if e.get("class") == "s-muted"
        )
        x1, y1, x2, y2 = (float(line.get(name, "nan")) for name in ("x1", "y1", "x2", "y2"))
        dots = next(
            element.get("d", "")
            for element in drawing(distribution_chart([curve(shift)])).iter(f"{SVG}path")
            if element.get("class") == "s-ask p"
        )
        places = [tuple(map(float, dot.removesuffix("h0").split())) for dot in dots.split("M")[1:]]
        return max(abs((x - x1) / (x2 - x1) - (y - y1) / (y2 - y1)) for x, y in places)

    assert off_diagonal(0.0) < 0.01
    assert off_diagonal(1.0) > 0.2


def test_nothing_compared_is_said() -> None:
    """Both panels of the state say so, and the other states are drawn."""
    svg = distribution_chart([nothing(), curve()])
    assert words(svg).count("no row was compared") == 2
    assert uses_colour(svg, "ask")


def test_without_a_placebo_there_is_none() -> None:
    """Books of one level have no placebo of this kind."""
    lacking = {**curve(), "placebo": [], "placebo_quantiles": []}
    assert not uses_colour(distribution_chart([lacking]), "placebo")
