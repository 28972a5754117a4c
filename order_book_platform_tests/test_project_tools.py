"""The project's own tools: which tests are quick, which dependencies are used, what a wheel has to hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tool(name: str) -> ModuleType:
    """A module of .ci, which is no package."""
    spec = spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- make test-quick ------------------------------------------------------------------------------------------------

quick = tool("quick_tests")


def commit_all(root: Path) -> None:
    """Commit everything in a new repository, or in one that is there."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "Change"]):
        subprocess.run(["git", *command], check=True, cwd=root)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project under git, with tests that mirror it."""
    for name in (
        "order_book_platform/replay/__init__.py",
        "order_book_platform/replay/book.py",
        "order_book_platform/replay/untested.py",
        "order_book_platform/clock.py",
        "order_book_platform_tests/replay/test_book.py",
        "order_book_platform_tests/replay/test_replay.py",
        "order_book_platform_tests/test_clock.py",
        "order_book_platform_tests/test_slow.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    (tmp_path / "order_book_platform_tests/quick.txt").write_text("# always\ntest_cl*.py\n", encoding="utf-8")
    commit_all(tmp_path)
    return tmp_path


def test_without_a_change_the_representative_set_runs(checkout: Path) -> None:
    """Nothing is near to nothing."""
    assert quick.select(checkout, "", set()) == (["order_book_platform_tests/test_clock.py"], [])


def test_tests_of_changed_modules_come_first_the_most_changed_ahead(checkout: Path) -> None:
    """Changed files count, committed after the base or not yet, by their lines; a package's `__init__` too."""
    (checkout / "order_book_platform/replay/book.py").write_text("a = 1\n", encoding="utf-8")
    commit_all(checkout)
    (checkout / "order_book_platform/replay/__init__.py").write_text("a = 1\nb = 2\n", encoding="utf-8")
    (checkout / "order_book_platform/replay/untested.py").write_text("a = 1\n", encoding="utf-8")
    run, left_out = quick.select(checkout, "HEAD~1", set())
    assert run == [
        "order_book_platform_tests/replay/test_replay.py",
        "order_book_platform_tests/replay/test_book.py",
        "order_book_platform_tests/test_clock.py",
    ]
    assert left_out == []


def test_what_takes_too_long_is_left_out_and_told(checkout: Path) -> None:
    """A test module of the longest ones, and those beyond the number that fits into a minute."""
    names = [f"order_book_platform_tests/test_{number}.py" for number in range(quick.NEAREST + 1)]
    for name in (*names, "order_book_platform_tests/test_slow.py"):
        (checkout / name).write_text("a = 1\n", encoding="utf-8")
    run, left_out = quick.select(checkout, "", {"order_book_platform_tests/test_slow.py"})
    assert run == [*names[:-1], "order_book_platform_tests/test_clock.py"]
    assert sorted(left_out) == sorted([names[-1], "order_book_platform_tests/test_slow.py"])


def test_a_pattern_without_a_test_module_is_an_error(checkout: Path) -> None:
    """A test that has moved does not leave the quick ones in silence."""
    (checkout / "order_book_platform_tests/quick.txt").write_text("replay/test_gone.py\n", encoding="utf-8")
    with pytest.raises(quick.SelectionError, match=r"expected a test module that replay/test_gone\.py names"):
        quick.select(checkout, "", set())


def test_an_unknown_base_is_an_error(checkout: Path) -> None:
    """A misspelt base does not count as no change."""
    with pytest.raises(quick.SelectionError, match="nowhere"):
        quick.select(checkout, "nowhere", set())


def test_the_patterns_of_this_project_name_tests() -> None:
    """Every pattern of quick.txt names a test module that is there, and each module is run once."""
    modules = quick.representative(ROOT)
    assert len(modules) > 20
    assert len(set(modules)) == len(modules)


# --- dependencies ---------------------------------------------------------------------------------------------------


def dependency_issues(config: Path, *folders: Path) -> str:
    """What deptry says of some folders with a project file."""
    done = subprocess.run(
        [Path(sys.executable).with_name("deptry"), "--no-ansi", "--config", config, *folders],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_unused_and_undeclared_dependencies_are_noticed(tmp_path: Path) -> None:
    """A dependency that nothing imports, and an import that is not declared, each fail the check."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    changed = text.replace('"click>=8.1",', '"click>=8.1",\n    "tabulate>=0.9",')
    config = tmp_path / "pyproject.toml"
    config.write_text(changed, encoding="utf-8")
    module = tmp_path / "added" / "module.py"
    module.parent.mkdir()
    module.write_text("import docutils\nimport jinja3\nimport pytest\n", encoding="utf-8")
    said = dependency_issues(config, ROOT / "order_book_platform", module.parent)
    found = set(re.findall(r"(DEP\d+) '([\w-]+)'", said))
    assert found == {
        ("DEP001", "jinja3"),
        ("DEP002", "tabulate"),
        ("DEP003", "docutils"),
        ("DEP004", "pytest"),
    }, said


def test_an_exception_that_is_not_needed_any_more_is_noticed() -> None:
    """What may be declared without an import is imported nowhere in the package; once it is, it leaves the list."""
    modules = {
        "cryptography": "cryptography",
        "dagster-webserver": "dagster_webserver",
        "jinja2": "jinja2",
        "prometheus-client": "prometheus_client",
        "websockets": "websockets",
    }
    allowed = PROJECT["tool"]["deptry"]["per_rule_ignores"]["DEP002"]
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "order_book_platform").rglob("*.py")]
    for name in allowed:
        used = re.compile(rf"^\s*(import|from) {modules[name]}\b", flags=re.MULTILINE)
        assert not any(used.search(source) for source in sources), f"remove {name} from [tool.deptry]"


# --- make check-wheel -----------------------------------------------------------------------------------------------

wheel = tool("check_wheel")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    made: Path = wheel.build(tmp_path_factory.mktemp("wheel"))
    return made


def changed_copy(built: Path, folder: Path, without: str = "", added: str = "") -> Path:
    """A wheel that lacks a file, or has one more."""
    path = folder / built.name
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if name != without:
                target.writestr(name, source.read(name))
        if added:
            target.writestr(added, "")
    return path


def test_the_wheel_has_the_files_of_the_package(built: Path) -> None:
    """Modules, marker of types, profiles of the simulator: everything, and nothing else."""
    assert wheel.check_contents(built) >= 4


@pytest.mark.parametrize(
    ("without", "added"),
    [
        ("order_book_platform/py.typed", ""),
        ("order_book_platform/simulate/profiles/btc-perp.json", ""),
        ("", "order_book_platform_tests/oracle.py"),
    ],
)
def test_a_wheel_with_other_files_is_refused(built: Path, tmp_path: Path, without: str, added: str) -> None:
    """Data that the package needs are missed, and a file that is not its own is noticed."""
    with pytest.raises(wheel.CheckFailedError, match=re.escape(without or added)):
        wheel.check_contents(changed_copy(built, tmp_path, without, added))


def test_a_user_gets_what_runs_and_no_tool() -> None:
    """Pins are those of the declared dependencies and of what they bring, with their hashes."""
    packages = wheel.runtime_packages(PROJECT["project"]["dependencies"])
    assert {"polars", "numba", "llvmlite", "dagster", "sqlalchemy"} <= packages
    assert not {"pytest", "ruff", "mypy", "sphinx", "uv"} & packages
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = wheel.pins_of(lock, packages)
    assert set(re.findall(r"^(\S+)==", pins, flags=re.MULTILINE)) == packages
    assert re.search(r"^polars==\S+ \\\n    --hash=sha256:", pins, flags=re.MULTILINE)
    with pytest.raises(wheel.CheckFailedError, match="no pin of nothing-like-it"):
        wheel.pins_of(lock, {"nothing-like-it"})


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    """The message has the command, its exit code and its last words."""
    with pytest.raises(wheel.CheckFailedError, match=r"exit code 3\nnot today"):
        wheel.run([sys.executable, "-c", "print('not today'); raise SystemExit(3)"], tmp_path)


# --- pre-commit -----------------------------------------------------------------------------------------------------


def test_hooks_use_the_tools_of_this_environment() -> None:
    """Every hook is local and starts a program of .venv that is installed: nothing is downloaded."""
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    repositories = yaml.safe_load(text)["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        program, _, _ = hook["entry"].partition(" ")
        folder, _, name = program.rpartition("/")
        assert folder == ".venv/bin"
        assert hook["language"] == "system"
        assert shutil.which(name, path=str(Path(sys.executable).parent)) is not None
