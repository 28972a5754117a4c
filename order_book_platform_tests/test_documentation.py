"""The pages: every decision is listed, every term is explained once, and what links name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADRS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
TOP_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def listed_decisions(index: str) -> dict[str, tuple[str, str]]:
    """File name to title and decision, as a table of links has them."""
    rows = re.findall(r"^\| \[(.+)\]\(([^)]+)\) \| (.*?) \|$", index, flags=re.MULTILINE)
    return {name: (title, decision) for title, name, decision in rows}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that name no file."""
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    relative = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    return [link for link in relative if not (page.parent / link).exists()]


def test_every_decision_is_listed_with_its_title_and_in_a_sentence() -> None:
    """The index of docs/adr is whole, in order, and says what was decided."""
    listed = listed_decisions((ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8"))
    assert list(listed) == [path.name for path in ADRS]
    for path in ADRS:
        title, decision = listed[path.name]
        assert path.read_text(encoding="utf-8").splitlines()[0] == f"# {title}"
        assert re.fullmatch(r"[A-Z`].{20,}\.", decision), (
            f"{path.name}: expected a sentence, found {decision!r}"
        )


def test_numbers_of_decisions_are_used_once_and_without_a_hole() -> None:
    """A record has the next number in its name and in its title."""
    for number, path in enumerate(ADRS, start=1):
        assert path.name.startswith(f"{number:04d}-")
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_a_decision_that_is_not_listed_is_noticed() -> None:
    """What is compared above is what the table holds."""
    assert listed_decisions("| [1. A](0001-a.md) | It is so. |\n") == {"0001-a.md": ("1. A", "It is so.")}
    assert listed_decisions("see [1. A](0001-a.md)\n") == {}


@pytest.mark.parametrize("name", TOP_PAGES)
def test_links_of_the_top_pages_lead_somewhere(name: str) -> None:
    """Pages below docs are checked when they are built; these are read where they lie."""
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    assert broken_links(page, text) == []
    assert broken_links(page, "[a](docs/nowhere.md) and [b](#there)") == ["docs/nowhere.md"]


def test_files_that_contributing_names_exist() -> None:
    """A path in backticks that looks like a module or a folder of the package is one."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_0-9./]+/[a-z_0-9.]+)`", text)) - {"../shared/data", "docs/_build"}
    assert named
    missing = [
        path
        for path in sorted(named)
        if not any((ROOT / top / path).exists() for top in ("", "order_book_platform"))
    ]
    assert missing == []


def test_the_rooms_of_contributing_are_those_of_the_package() -> None:
    """The map names every folder and module at the top of the package, and no other."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| (.+?) \|", text, flags=re.MULTILINE)
    mapped = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    package = ROOT / "order_book_platform"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    modules = {path.stem for path in package.glob("*.py")} - {"__init__", "version"}
    assert mapped == rooms | modules


def test_a_term_is_explained_once_and_in_sentences() -> None:
    """The glossary has no term twice, and every explanation ends with a full stop."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^(\S.*)\n: ((?:.+\n)+)", text, flags=re.MULTILINE)
    terms = [term.lower() for head, _ in entries for term in head.split(", ")]
    assert len(terms) > 60
    assert sorted(terms) == sorted(set(terms))
    for head, explanation in entries:
        assert re.fullmatch(r"[A-Z`].+\.", explanation.strip(), flags=re.DOTALL), head
