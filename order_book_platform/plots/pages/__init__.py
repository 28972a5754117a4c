"""HTML pages: the values of a template go in, one self-contained document comes out.

`page` renders the template of any component; `templates/page.html.j2` is the document that all pages extend, and
`templates/page.css` is its style. A component keeps its own templates in a folder `templates` beside its module.
"""

from order_book_platform.plots.pages.page import number_text, render_page

__all__ = ["number_text", "render_page"]
