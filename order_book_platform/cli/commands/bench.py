"""`obp bench` runs a benchmark of the source checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from runpy import run_path

import click

import order_book_platform
from order_book_platform.errors import BenchmarkError


def checkout() -> Path:
    """Find the source checkout that this package is run from; benchmarks are not installed with it."""
    return Path(order_book_platform.__file__).parents[1]


def known_benchmarks() -> dict[str, str]:
    """Read the name of each benchmark and what it measures; outside a source checkout that is a `BenchmarkError`."""
    file = checkout() / "benchmarks" / "__init__.py"
    if not file.is_file():
        raise BenchmarkError(
            expected="the benchmarks of a source checkout",
            found="an installed package, which comes without them",
            where=str(file.parent),
            remedy="Clone the repository and run `make bench` there, or its .venv/bin/obp bench.",
        )
    benchmarks: dict[str, str] = run_path(str(file))["BENCHMARKS"]
    return benchmarks


class BenchCommand(click.Command):
    """A command whose help ends with a list of the benchmarks."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names of the benchmarks, or why there are none."""
        with formatter.section("Benchmarks"):
            try:
                formatter.write_dl(list(known_benchmarks().items()))
            except BenchmarkError as error:
                formatter.write_text(f"{error.expected}: not here. {error.remedy}")


@click.command(
    cls=BenchCommand,
    short_help="Measure how fast it is here.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def bench(ctx: click.Context, name: str, arguments: tuple[str, ...]) -> None:
    """Run a benchmark of the source checkout, as `python -m benchmarks.NAME ARGUMENTS` does.

    With --json it prints one object: machine, versions, commit, results, ratios of systems measured in turn, and
    bars; without, tables of the same. A missed bar is shown as MISSED and is no failure; exits 1 where a system
    measured beside ours fails or keeps another book. `obp bench NAME --help` shows what else it takes.

    \b
    Example:
      obp bench replay --json > replay.json
      obp bench replay --deltas 1000000
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    benchmarks = known_benchmarks()
    if name not in benchmarks:
        raise click.BadParameter(f"{name!r} is none of {', '.join(benchmarks)}.", param_hint="'NAME'")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False, cwd=checkout()
    )
    ctx.exit(done.returncode)
