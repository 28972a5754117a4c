"""The command group: fast help, errors as blocks, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from order_book_platform.cli import group, main
from order_book_platform.cli.group import COMMANDS
from order_book_platform.cli.options import Invocation
from order_book_platform.errors import NoBookError, SettingsError
from order_book_platform.version import __version__
from order_book_platform_tests.cli.conftest import SETTINGS, Platform, run

HEAVY = ("dagster", "numba", "polars", "pyarrow", "numpy", "jinja2", "pydantic")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command of the group raise `error`."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(group.CommandGroup, "get_command", lambda self, ctx, name: failing)


def test_help_lists_every_command_in_order() -> None:
    """The overview names all commands, each with a line that is not cut off."""
    output = run(["--help"]).stdout
    places = [output.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert "..." not in output.split("Commands:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """Each command's help says what it does and shows an example that uses it."""
    result = run([name, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert f" {name}" in result.stdout.split("Example:")[1]


def test_help_imports_nothing_heavy() -> None:
    """Help, also of a command, comes without the libraries that take seconds to load."""
    script = (
        "import sys; from order_book_platform.cli import main\n"
        "for arguments in (['--help'], ['materialize', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as end: assert not end.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    """`--version` is the package's."""
    assert __version__ in run(["--version"]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["materialise"], "No such command"),
        (["materialize", "--symbol", "BINANCE:BTC-USDT"], "Missing option '--day'"),
        (
            ["materialize", "--symbol", "BINANCE:BTC-USDT", "--day", "8.8.2024"],
            "a UTC day such as 2024-08-08",
        ),
        (
            ["book", "--symbol", "A:B", "--day", "2024-08-08", "--at", "noon"],
            "write it as in 2024-08-08T23:55",
        ),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], message: str) -> None:
    """A wrong command, a missing option and a malformed value are usage errors that say what is expected."""
    result = run(arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not result.stdout


def test_settings_errors_exit_2(tmp_path: Path) -> None:
    """A missing settings file is a usage error, shown as one block on stderr."""
    file = tmp_path / "none.toml"
    result = run(["--config", str(file), "materialize", "--symbol", "A:B", "--day", "2024-08-08"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error (SettingsError)",
        f"  where     {file}",
        "  expected  a settings file",
        "  found     nothing",
        "  remedy    Pass --config FILE, set OBP_CONFIG, or run where platform.toml is.",
    ]


def test_errors_of_the_data_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the data cause is shown as a block, without a traceback, and exits 1."""
    fail_with(monkeypatch, NoBookError(expected="a book", found="none", where="here", remedy="Look there."))
    result = run(["book"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error (NoBookError)\n  where     here\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("returned", "code"), [(False, 1), (True, 0), (None, 0)])
def test_a_command_that_returns_false_exits_1(
    monkeypatch: pytest.MonkeyPatch, returned: bool | None, code: int
) -> None:
    """Only False, which says that the data or a gate failed, is a failure."""
    command = click.Command("book", callback=lambda: returned)
    monkeypatch.setattr(group.CommandGroup, "get_command", lambda self, ctx, name: command)
    assert run(["book"]).exit_code == code


def test_unexpected_exceptions_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is not dressed up as a user's mistake."""
    fail_with(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run(["book"])


def test_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a command with one line and the shell's code for it."""
    fail_with(monkeypatch, KeyboardInterrupt())
    result = run(["book"])
    assert result.exit_code == 130
    assert result.stderr == "Interrupted; what was published before is untouched.\n"


def test_interrupt_of_a_run_of_its_own(simulated: Platform, tmp_path: Path) -> None:
    """SIGINT while assets are being made ends the process with 130, without a traceback, and publishes no half."""
    config = tmp_path / "platform.toml"
    config.write_text(SETTINGS.replace('"lake"', f'"{simulated.config.parent / "lake"}"'))
    arguments = [
        "--config",
        str(config),
        "materialize",
        "--symbol",
        "SIMULATED:ETH-USDT",
        "--day",
        "2024-08-08",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    # A process that a shell started in the background ignores SIGINT, and so do its children until they say otherwise.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{heeding}; from order_book_platform.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    first = process.stderr.readline()  # the partition's name: Dagster is loaded and the run is about to start
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, first + rest
    assert "Traceback" not in rest
    assert not list((tmp_path / "store").glob("**/.building-*/manifest.json"))


def test_exit_codes_of_a_real_process(simulated: Platform) -> None:
    """The entry point hands its code to the shell."""
    command = [sys.executable, "-c", "from order_book_platform.cli import main; main()"]
    for arguments, code in (
        (["--config", str(simulated.config), "doctor"], 0),
        (["--config", str(simulated.config), "nothing"], 2),
        (
            [
                "--config",
                str(simulated.config.parent / "none.toml"),
                "verify",
                "--symbol",
                "A:B",
                "--day",
                "2024-08-08",
            ],
            2,
        ),
    ):
        found = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert found.returncode == code, found.stderr


def test_invocation_reads_the_given_file(simulated: Platform) -> None:
    """Commands get the settings of `--config`."""
    invocation = Invocation(simulated.config)
    assert invocation.settings_file == simulated.config
    assert invocation.settings().instruments[0].symbol == "SIMULATED:ETH-USDT"
    with pytest.raises(SettingsError):
        Invocation(simulated.config.parent / "none.toml").settings()


def test_main_is_the_group() -> None:
    """The entry point is the group itself."""
    assert isinstance(main, group.CommandGroup)
