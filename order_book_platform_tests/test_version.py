"""The version of code: from the sources themselves, equal for equal sources, and no more than what a result needs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_book_platform import version
from order_book_platform.version import COMPONENTS, WAYS_IN, code_version, source_digests

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in place of the real one."""
    for name in (
        "__init__.py",
        "errors.py",
        "rl/policy.py",
        "reconstruct/day.py",
        "cli/main.py",
        "defs/build.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# {name}\n", encoding="utf-8")
    monkeypatch.setattr(version, "_source_digests", lambda: source_digests(tmp_path))
    code_version.cache_clear()
    yield tmp_path
    code_version.cache_clear()


def test_its_form() -> None:
    """The package's version, a plus, and twelve hexadecimal digits, as in PEP 440's local versions."""
    assert re.fullmatch(re.escape(version.__version__) + r"\+[0-9a-f]{12}", code_version("reconstruct"))


@pytest.mark.parametrize(
    ("changed", "has_changed"),
    [
        ("errors.py", True),
        ("__init__.py", True),
        ("reconstruct/day.py", True),
        ("reconstruct/new.py", True),
        ("rl/policy.py", False),
        ("cli/main.py", False),
        ("defs/build.py", False),
        ("reconstruct/__pycache__/day.pyc", False),
        (".editor", False),
    ],
)
def test_what_changes_it(package: Path, changed: str, has_changed: bool) -> None:
    """The component's own sources and those below it do; other components, the ways in and bytecode do not."""
    before = code_version("reconstruct")
    path = package / changed
    path.parent.mkdir(exist_ok=True)
    path.write_text("# changed\n", encoding="utf-8")
    code_version.cache_clear()
    assert (code_version("reconstruct") != before) == has_changed


def test_a_renamed_file_changes_it(package: Path) -> None:
    """Names count, not only contents."""
    before = code_version("reconstruct")
    (package / "errors.py").rename(package / "faults.py")
    code_version.cache_clear()
    assert code_version("reconstruct") != before


def test_two_copies_have_one_version(package: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the folder nor the order in which files are found matters."""
    copy = tmp_path_factory.mktemp("copy")
    for name in reversed(list(source_digests(package))):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes((package / name).read_bytes())
    assert list(source_digests(copy).items()) == list(source_digests(package).items())


def test_components_are_those_of_the_contract() -> None:
    """Only rooms on the components' line of the import contract, and those above it, may be left out."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [{room.strip(" ()") for room in line.split("|")} for line in contracts[0]["layers"]]
    number = next(number for number, rooms in enumerate(layers) if "reconstruct" in rooms)
    assert layers[number] <= COMPONENTS
    assert {name.removesuffix(".py") for name in WAYS_IN} == set().union(*layers[:number]) - COMPONENTS
    assert not COMPONENTS & set().union(*layers[number + 1 :])
