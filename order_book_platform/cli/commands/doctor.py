"""`obp doctor`: is everything there that the platform needs?"""

from __future__ import annotations

import click

from order_book_platform.cli.group import EXIT_FAILED, Invocation
from order_book_platform.cli.options import json_option


@click.command(short_help="Check installation, settings and data.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation, the settings, the folders, the Dagster instance and the clock. Changes nothing.

    Names what runs that died have left beside partitions, with its size and age: unfinished ones with the command
    that goes on from their last checkpoint, others with the one that removes them.

    Exits 1 if a check fails; a warning says what to look at and does not count.

    \b
    Example:
      obp --config platform.toml doctor
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.cli.doctor_checks import examine

    invocation: Invocation = ctx.obj
    findings = examine(invocation)
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        from order_book_platform.cli.display.output import print_json

        print_json({"passed": not failed, "checks": [finding.to_dict() for finding in findings]})
    else:
        from order_book_platform.cli.display.output import Styled, stdout, table

        styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
        stdout().print(
            table(
                "obp doctor",
                ("", "check", "found", "what to do"),
                (
                    (Styled(each.status, styles[each.status]), each.check, each.found, each.remedy)
                    for each in findings
                ),
            )
        )
    if failed:
        ctx.exit(EXIT_FAILED)
