"""How Sphinx builds the documentation: `make docs`, every warning an error."""

import re
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from astroid.brain import brain_numpy_ndarray  # type: ignore[import-untyped]
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
VERSION_MODULE = (ROOT / "order_book_platform" / "version.py").read_text(encoding="utf-8")

project = "Order Book Platform"
release = re.findall(r'^__version__ = "(.+)"$', VERSION_MODULE, flags=re.MULTILINE)[0]
extensions = ["myst_parser", "autoapi.extension", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
smartquotes = False  # prose and options such as --full stay as they are written
highlight_language = "text"

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

myst_enable_extensions = ["attrs_block", "deflist"]  # the glossary is a list of definitions
myst_heading_anchors = 3

# The API reference is read from the sources and never imports them: there is no list of modules to keep, a page is
# there as soon as its module is, and building needs neither a compiler nor the settings of an installation.
autoapi_dirs = [str(ROOT / "order_book_platform")]
autoapi_root = "reference"
autoapi_options = ["members", "undoc-members", "show-inheritance", "show-module-summary"]
autoapi_add_toctree_entry = False
toc_object_entries = False  # with them the navigation of some 300 pages takes longer than everything else
add_module_names = False  # the heading of the page has the module
napoleon_use_ivar = True  # attributes are listed with their class, and described once
default_role = "code"
suppress_warnings = [
    "autoapi.python_import_resolution",  # a module whose constants are computed says too little to a static reader
    "ref.python",  # a type `bytes` beside attributes of that name is not ambiguous to a reader
]
# For each mention of numpy.ndarray the static reader parses the same 200 lines anew: 21 s of 39 s.
brain_numpy_ndarray.extract_node = cache(brain_numpy_ndarray.extract_node)

CODE = re.compile(r"(?<!`)`((?:[^`\n]|\n(?!\s*\n))+)`(?![`_])")
"""Code between single backticks, within one paragraph."""
WORD_END = re.compile(r"(``.*?``)|(\w)_(?!\w)")
"""Code, which stays as it is, or a word that ends with an underscore, which would be taken for a link."""


def plain_docstring(
    _app: Sphinx, _what: str, _name: str, _documented: object, _options: object, lines: list[str]
) -> None:
    r"""Turn what docstrings here have from Markdown and click into reStructuredText, in place.

    Single backticks mean code, also over the end of a line, and must not end a type where they hold a colon. A line
    with click's mark `\b` alone says that the paragraph behind it keeps its lines: it becomes a literal block. A word
    such as PARAM_ is no link.
    """
    text = CODE.sub(lambda code: "``" + re.sub(r"\s*\n\s*", " ", code[1]) + "``", "\n".join(lines))
    rest = iter(text.split("\n"))
    lines.clear()
    for line in rest:
        if line.strip() == "\b":
            lines += ["", "::", "", *("    " + kept for kept in takewhile(str.strip, rest)), ""]
        else:
            lines.append(WORD_END.sub(lambda found: found[1] or found[2] + "\\_", line))


def short_navigation(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _document: object
) -> None:
    """Expand the navigation of a page where the page is and nowhere else.

    With every module in the navigation of every module's page, half of the time and most of the bytes went there.
    """
    if toctree := context.get("toctree"):
        context["toctree"] = lambda **options: toctree(**{**options, "collapse": True})


def setup(app: Sphinx) -> None:
    """Prepare docstrings before napoleon reads them, and the navigation before the theme asks for it, both at 500."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)
    app.connect("html-page-context", short_navigation, priority=400)
