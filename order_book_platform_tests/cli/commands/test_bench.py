"""`obp bench`: names, help, and what it hands on to the benchmark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from order_book_platform.cli.commands import bench
from order_book_platform_tests.cli.conftest import run

INIT = 'BENCHMARKS = {"quick": "how fast nothing is"}\n'
QUICK = "import sys\nprint(sys.argv[1:])\nsys.exit(int(sys.argv[-1]))\n"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one benchmark that prints its arguments and ends with the last one."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").write_text(INIT)
    (tmp_path / "benchmarks" / "quick.py").write_text(QUICK)
    monkeypatch.setattr(bench, "checkout", lambda: tmp_path)
    return tmp_path


def test_help_names_the_benchmarks() -> None:
    """The benchmarks of this checkout, each with what it measures."""
    listed = run(["bench", "--help"]).stdout.split("Benchmarks:")[1]
    assert "replay " in listed
    assert "day " in listed
    assert set(bench.known_benchmarks()) >= {"replay", "day"}


@pytest.mark.parametrize("code", [0, 1, 2])
def test_arguments_and_exit_code_are_handed_on(
    code: int, elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also options that this command does not know, and --help."""
    result = run(["bench", "quick", "--json", "--deltas", "7", "--help", str(code)])
    assert result.exit_code == code
    assert capfd.readouterr().out == f"['--json', '--deltas', '7', '--help', '{code}']\n"


def test_unknown_name_exits_2(elsewhere: Path) -> None:
    """A wrong name is a usage error that lists the right ones."""
    result = run(["bench", "slow"])
    assert result.exit_code == 2
    assert "'slow' is none of quick." in result.stderr
    assert run(["bench"]).exit_code == 2


def test_installed_package_has_no_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a checkout the command says so, and its help too."""
    monkeypatch.setattr(bench, "checkout", lambda: tmp_path)
    result = run(["bench", "replay"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[:2] == [
        "Error (BenchmarkError)",
        f"  where     {tmp_path / 'benchmarks'}",
    ]
    assert "Clone the repository" in " ".join(run(["bench", "--help"]).stdout.split())


def test_a_real_benchmark_explains_itself() -> None:
    """The command and the benchmark's own help together, in a process of their own."""
    command = [
        sys.executable,
        "-c",
        "from order_book_platform.cli import main; main()",
        "bench",
        "replay",
        "--help",
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr
    assert "usage: obp bench replay" in found.stdout
    assert "--deltas" in found.stdout
