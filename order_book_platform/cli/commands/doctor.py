"""`obp doctor` checks that everything is there that the platform needs."""

from __future__ import annotations

import click

from order_book_platform.cli.group import Invocation
from order_book_platform.cli.options import json_option


@click.command(short_help="Check installation, settings and data.")
@json_option
@click.pass_obj
def doctor(invocation: Invocation, as_json: bool) -> bool:
    """Check the installation, the settings, the folders, the Dagster instance and the clock. Changes nothing.

    Names what runs that died have left beside partitions, with its size and age: unfinished ones with the command
    that goes on from their last checkpoint, others with the one that removes them.

    Exits 1 if a check fails; a warning says what to look at and does not count.

    \b
    Example:
      obp --config platform.toml doctor
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    from order_book_platform.cli.display.output import Styled, print_json, stdout, table
    from order_book_platform.cli.doctor_checks import examine

    findings = examine(invocation)
    passed = all(finding.status != "fail" for finding in findings)
    if as_json:
        print_json({"passed": passed, "checks": [finding.to_dict() for finding in findings]})
        return passed
    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    rows = (
        (Styled(each.status, styles[each.status]), each.check, each.found, each.remedy) for each in findings
    )
    stdout().print(table("obp doctor", ("", "check", "found", "what to do"), rows))
    return passed
