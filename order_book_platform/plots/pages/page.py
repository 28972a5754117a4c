"""Pages rendered from Jinja2 templates: text is escaped, and a value that the template lacks is an error."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from order_book_platform.model import on_its_side
from order_book_platform.plots.svg import STYLE

if TYPE_CHECKING:
    from jinja2 import Environment

_SHARED = "order_book_platform.plots.pages"
"""The package whose templates every page can extend and include."""


def render_page(package: str, template: str, **values: Any) -> str:
    """Render a template; equal values give equal text.

    Besides the values, a template has the filter `number` (`number_text`), the filter `count` (a whole number with
    thousands separators), and `plot_style`, the style of the figures.

    Args:
        package: Name of the package in whose folder `templates` the template lies.
        template: File name of the template.
        **values: What the template shows.

    Returns:
        The page.

    Raises:
        jinja2.TemplateNotFound: There is no such template.
        jinja2.UndefinedError: The template uses a value that has not been given.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    """Return the templates of a package, and those that all pages share."""
    # Importing Jinja2 takes 60 ms of CPU time, which a process that renders no page does not spend.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_SHARED)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number_text
    environment.filters["count"] = "{:,}".format
    environment.globals["plot_style"] = STYLE
    return environment


def number_text(value: float | None, digits: int = 6, bar: str = "") -> str:
    """Write a figure for people: whole numbers in full, others to `digits` significant digits.

    Args:
        value: The figure; None is written as `not measured`, NaN and infinity as such.
        digits: Significant digits; more are written where the rounded figure would be on the other side of the bar.
        bar: What the figure is held against, such as `>= 0.999`; empty if there is no such thing.
    """
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return f"{value}"

    def write(digits: int) -> str:
        is_whole = value == round(value) or abs(value) >= 10.0**digits
        return f"{value:,.0f}" if is_whole else f"{value:.{digits}g}"

    return on_its_side(value, bar, write, digits)
