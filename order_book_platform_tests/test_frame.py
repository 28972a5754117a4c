"""The frame: pins, layering, sizes, the ways in from a shell, and Dagster's instance settings."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections import Counter
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import order_book_platform
from order_book_platform_tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "order_book_platform"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
MODULES = sorted(PACKAGE.rglob("*.py"))


# --- pins -----------------------------------------------------------------------------------------------------------


def pins() -> dict[str, list[Requirement]]:
    """Every pinned package, once per environment it is pinned for."""
    found: dict[str, list[Requirement]] = {}
    for match in re.finditer(r"^(\S+==[^\\\n]+?) \\$", LOCK, flags=re.MULTILINE):
        requirement = Requirement(match[1])
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def declared() -> list[Requirement]:
    """What pyproject.toml asks for: to run, in every extra, and to build."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in extra)]
    return [Requirement(text) for text in [*texts, *PROJECT["build-system"]["requires"]]]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_holds_what_pyproject_asks_for(requirement: Requirement) -> None:
    """A requirement that was changed without `make lock` is noticed here."""
    pinned = pins().get(canonicalize_name(requirement.name), [])
    assert pinned
    for pin in pinned:
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{pin} does not satisfy {requirement}"


def test_every_pin_has_hashes_and_no_address() -> None:
    """Any index may serve the packages; only these bytes are accepted."""
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK) if not entry.startswith("#")]
    assert len(entries) == sum(len(each) for each in pins().values())
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"://|--(extra-)?index-url|--find-links| @ |file:|-e ", LOCK)


def test_what_runs_is_what_is_pinned() -> None:
    """The environment of this test has the pinned version of every package that a user needs."""
    for requirement in declared():
        installed = metadata.version(requirement.name)
        versions = [str(pin.specifier) for pin in pins()[canonicalize_name(requirement.name)]]
        assert f"=={installed}" in versions, requirement.name


def test_one_version() -> None:
    """The installed package and the code tell the same version, and the changelog knows it or what comes next."""
    assert metadata.version("order-book-platform") == order_book_platform.__version__
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- rooms ----------------------------------------------------------------------------------------------------------

VIOLATIONS = {
    "Rooms": {
        "model/upwards.py": "import order_book_platform.settings\n",
        "settings_two.py": "",
        "assess/sideways.py": "from order_book_platform import fidelity\n",
        "storage/upwards.py": "def later() -> None:\n    import order_book_platform.defs\n",
    },
    "numba": {"sources/loops.py": "from numba import njit\n"},
    "dagster is": {"reconstruct/orchestrated.py": "import dagster as dg\n"},
    "prometheus_client": {"sources/counted.py": "import prometheus_client\n"},
    "jinja2": {"fidelity/templated.py": "import jinja2\n"},
    "Measuring fidelity": {"fidelity/metrics/drawing.py": "from order_book_platform.plots import svg\n"},
    "click and rich": {"simulate/talkative.py": "import rich.console\n"},
    "The exchange": {"exchange/knowing.py": "from order_book_platform import capture\n"},
    "websockets and aiohttp": {"sources/connected.py": "import websockets\n"},
}
"""Start of a contract's name to files that break it."""


def lint_imports(folder: Path) -> dict[str, bool]:
    """Whether each import contract is kept by the package in `folder`."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        timeout=120,
    )
    results = re.findall(r"^(.+) (KEPT|BROKEN)", done.stdout, flags=re.MULTILINE)
    assert results, done.stdout + done.stderr
    return {name: verdict == "KEPT" for name, verdict in results}


def test_rooms_are_kept_and_every_contract_can_fail(tmp_path: Path) -> None:
    """The package obeys its contracts; a copy with one violation for each breaks every one of them."""
    kept = lint_imports(ROOT)
    assert all(kept.values()), kept
    shutil.copytree(PACKAGE, tmp_path / "order_book_platform", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for files in VIOLATIONS.values():
        for name, content in files.items():
            (tmp_path / "order_book_platform" / name).write_text(content, encoding="utf-8")
    broken = lint_imports(tmp_path)
    assert list(broken) == list(kept)
    assert not any(broken.values()), broken
    assert [name.startswith(start) for name, start in zip(kept, VIOLATIONS, strict=True)] == [True] * len(
        kept
    )


def test_importing_the_package_is_light() -> None:
    """`import order_book_platform` loads neither the orchestrator nor a compiler nor a template engine."""
    heavy = "dagster", "numba", "jinja2", "polars", "pyarrow"
    code = f"import sys, order_book_platform; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there() -> None:
    """Everything the package promises can be had from it, and nothing else is promised."""
    for name in order_book_platform.__all__:
        assert getattr(order_book_platform, name) is not None
    assert dir(order_book_platform) == sorted(order_book_platform.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        order_book_platform.nothing  # noqa: B018


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_room_says_what_goes_in_and_out(room: str) -> None:
    """Each folder's first lines tell what it is for."""
    documentation = import_module(f"order_book_platform.{room}").__doc__ or ""
    assert re.search(r"\bin\b", documentation, re.IGNORECASE)
    assert re.search(r"\bout\b", documentation, re.IGNORECASE)


# --- names and prose ------------------------------------------------------------------------------------------------

SHARED_NAMES = {
    "book.py": "the book: the class, and the command that shows one",
    "size_correlation.py": "the metric, and its loop",
    "trades_in_range.py": "the metric, and its loop",
}
"""File names that occur in several rooms, and the one thing that they mean in each."""


def test_a_file_name_means_one_thing() -> None:
    """A name that occurs twice is known to mean the same; a new one has to be looked at."""
    names = Counter(path.name for path in MODULES if path.name != "__init__.py")
    assert {name for name, count in names.items() if count > 1} == set(SHARED_NAMES)


def fragments(text: str) -> list[str]:
    """Docstrings of a module that are no sentence by themselves: too short, or begun in the middle."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds))
    first = [documentation.split("\n\n")[0] for node in nodes if (documentation := ast.get_docstring(node))]
    return [each for each in first if re.match(r"(Of|What|See) ", each) or len(each.split()) < 3]


def test_docstrings_are_understood_by_themselves() -> None:
    """None begins with a word that needs the name before it."""
    assert [f"{path.name}: {each}" for path in MODULES for each in fragments(path.read_text("utf-8"))] == []


def test_fragments_are_found() -> None:
    """The check above can fail."""
    text = '"""Of these."""\n\ndef ahead():\n    """What comes next."""\nclass Row:\n    """One row of a table."""\n'
    assert fragments(text) == ["Of these.", "What comes next."]


# --- sizes ----------------------------------------------------------------------------------------------------------


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its name to its end, without its docstring."""
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = function.body[0] if documented else None
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


def too_long(path: Path, text: str) -> list[str]:
    """Functions of 50 lines and more, 100 in kernels; modules of more than 400, 600 in kernels."""
    kernel = "kernels" in path.parts
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = code_lines(node)
            if lines >= (100 if kernel else 50):
                found.append(f"{path.name}: {node.name}: {lines} lines")
    if text.count("\n") > (600 if kernel else 400):
        found.append(f"{path.name}: {text.count(chr(10))} lines")
    return found


def test_functions_and_modules_stay_short() -> None:
    """What has to be scrolled is not read."""
    assert [line for path in MODULES for line in too_long(path, path.read_text(encoding="utf-8"))] == []


def test_length_can_fail() -> None:
    """The measure above sees a long function, and not its docstring."""
    body = "def long():\n" + '    """' + "\n" * 80 + '    """\n' + "    x = 1\n" * 40
    assert too_long(Path("a.py"), body) == []
    assert too_long(Path("a.py"), body + "    x = 1\n" * 9) == ["a.py: long: 50 lines"]
    assert too_long(Path("kernels/a.py"), body + "    x = 1\n" * 9) == []
    assert too_long(Path("a.py"), "\n" * 401) == ["a.py: 401 lines"]


# --- from a shell ---------------------------------------------------------------------------------------------------


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**{key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}, **environment},
        timeout=60,
    )


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """A folder with what `make` needs to set up, and no environment yet."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "order_book_platform/version.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_make_without_a_target_explains_itself() -> None:
    """The list names every target that people use."""
    done = make(ROOT)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^  make (\S+) ", done.stdout, flags=re.MULTILINE)
    assert {"help", "test", "check", "demo", "bench", "ui", "lock", "clean"} <= set(listed)


def test_no_suitable_python_is_told(bare_clone: Path) -> None:
    """An old Python, or one that is not there, ends with what is needed and how to name another."""
    old = bare_clone / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    for python in ("/nowhere/python3", str(old)):
        done = make(bare_clone, "test", f"PYTHON={python}")
        assert done.returncode == 2
        assert f"make: expected Python >= 3.11 and < 3.15, found none that is called {python}." in done.stderr
        assert "make PYTHON=/path/to/python" in done.stderr
    assert not (bare_clone / ".venv").exists()


def test_a_python_without_venv_is_told(bare_clone: Path) -> None:
    """Debian ships venv apart: the message names the package."""
    crippled = bare_clone / "python"
    crippled.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexit 0\n', encoding="utf-8")
    crippled.chmod(0o755)
    done = make(bare_clone, "test", f"PYTHON={crippled}")
    assert done.returncode == 2
    assert f"make: {crippled} cannot create virtual environments" in done.stderr
    assert "apt install python3-venv" in done.stderr


def test_what_takes_longest_is_found() -> None:
    """A file that was renamed would lose its place at the head of the tests in silence."""
    missing = [name for name in LONGEST if not (Path(__file__).parent / name).is_file()]
    assert missing == []


def test_ci_runs_the_readmes_test_command() -> None:
    """What a newcomer is told to type is what a change has to pass."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    for step in ('"make test"', '"make test-without-jit"', '"make check"'):
        assert step in text


# --- Dagster --------------------------------------------------------------------------------------------------------


def test_the_instance_settings_are_what_they_say(tmp_path: Path) -> None:
    """Dagster accepts dagster.yaml: nothing is sent or pops up, two runs at once, crashed ones tried again."""
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.get_concurrency_config().run_queue_config is not None
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2
        assert instance.run_retries_enabled
        assert instance.run_retries_max_retries == 2
        assert not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_resume_run_attempts == 0
        assert instance.run_monitoring_max_runtime_seconds == 7200
        for daemon in ("schedules", "sensors", "backfills"):
            assert instance.get_settings(daemon)["use_threads"]


def test_the_workspace_names_the_definitions() -> None:
    """workspace.yaml and pyproject.toml point to one module, and it holds definitions."""
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    module = workspace["load_from"][0]["python_module"]["module_name"]
    assert module == PROJECT["tool"]["dg"]["project"]["code_location_target_module"]
    definitions = [each for each in vars(import_module(module)).values() if isinstance(each, dg.Definitions)]
    assert len(definitions) == 1
