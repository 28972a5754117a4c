"""The command group `obp`: imports a command when it is called, and turns errors and results into exit codes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from order_book_platform.cli.options import Invocation
from order_book_platform.errors import OrderBookPlatformError, SettingsError
from order_book_platform.version import __version__

if TYPE_CHECKING:
    pass

COMMANDS = (
    "materialize",
    "assess",
    "book",
    "verify",
    "fidelity",
    "capture",
    "follow",
    "decode",
    "keys",
    "import-recording",
    "simulate",
    "exchange",
    "doctor",
    "bench",
)
"""Names of the commands in the order in which a newcomer meets them; each is a function in the module of its name."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class CommandGroup(click.Group):
    """A group that imports a command's module when it is needed and decides the exit code.

    A command returns False where the data or a gate failed; everything else it returns means that it is done.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        function = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{__package__}.commands.{function}"), function)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that the user can put right is shown as one block, any other as a traceback."""
        try:
            if super().invoke(ctx) is False:
                ctx.exit(EXIT_FAILED)
        except SettingsError as error:
            show_error(error)
            ctx.exit(EXIT_USAGE)
        except OrderBookPlatformError as error:
            show_error(error)
            ctx.exit(EXIT_FAILED)
        except KeyboardInterrupt:
            click.echo("Interrupted; what was published before is untouched.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


def show_error(error: OrderBookPlatformError) -> None:
    """Print on stderr where the error is, what was expected, what was found, and what to do about it."""
    click.secho(f"Error ({type(error).__name__})", fg="red", bold=True, err=True)
    for label in ("where", "expected", "found", "remedy"):
        click.echo(f"  {label:<9} {getattr(error, label)}", err=True)


@click.group(
    cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file.  [default: $OBP_CONFIG, else ./platform.toml]",
)
@click.version_option(__version__, "--version", prog_name="obp")
@click.pass_context
def obp(ctx: click.Context, config: Path | None) -> None:
    """Exact level-2 order books from deltas, with proof of how exact they are.

    Exit codes: 0 done, 1 the data or a gate failed, 2 wrong usage or settings, 130 interrupted.

    \b
    Example:
      obp --config platform.toml materialize --symbol BINANCE_FUTURES:BTC-USDT-PERP --day 2024-08-08
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    ctx.obj = Invocation(config)
