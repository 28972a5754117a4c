"""What is deployed with a capture: the unit starts a command that exists, and every metric shown is exported."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from order_book_platform.cli.commands.capture import capture
from order_book_platform.cli.group import obp
from order_book_platform.observability.capture_exporter import PREFIX, CaptureExporter
from order_book_platform.settings import CaptureSettings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.observability.test_capture_exporter import METRICS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "obp-capture@.service"
GUIDE = (ROOT / "docs" / "capture_operation.md").read_text(encoding="utf-8")
NAME = re.compile(rf"{PREFIX}\w+")
NOT_SHOWN = {
    "messages_total": "the sum of stream_messages_total, which is shown",
    "rows_total": "messages and a few rows of the recorder",
    "durable_max_seconds": "since the start: the percentiles tell when",
    "durable_seconds_sum": "the percentiles tell more than a mean",
    "durable_seconds_count": "the percentiles tell more than a mean",
}
"""Exported metrics that no panel shows, and why."""


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Names of all samples that a capture exports."""
    with CaptureExporter(0, ManualClock()) as exporter:
        exporter.update(METRICS)
        names = {sample.name for family in exporter.collect() for sample in family.samples}
    return {name for name in names if not name.endswith("_created")}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    """The dashboard."""
    content: dict[str, Any] = json.loads((DEPLOY / "grafana" / "capture.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    text = (DEPLOY / "prometheus" / "capture-alerts.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """What the panels ask Prometheus for."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_shows_what_is_exported(exported: set[str], dashboard: dict[str, Any]) -> None:
    """Each name in a panel is exported, and each exported name is in a panel or listed with the reason."""
    shown = {name for each in expressions(dashboard) for name in NAME.findall(each)}
    assert shown
    assert shown - exported == set()
    assert {name.removeprefix(PREFIX) for name in exported - shown} == set(NOT_SHOWN)


def test_panels_have_a_place_and_a_meaning(dashboard: dict[str, Any]) -> None:
    """No two panels overlap, each has its number, a unit, a description and letters for its queries."""
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells
        assert max(x for x, _ in own) < 24
        cells |= own
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alarms_are_of_what_is_exported_and_explained(
    exported: set[str], rules: list[dict[str, Any]]
) -> None:
    """Each name in a rule is exported, and the guide says of each alarm what it means."""
    names = {name for rule in rules for name in NAME.findall(rule["expr"])}
    assert names
    assert names - exported == set()
    for rule in rules:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert f"`{rule['alert']}`" in GUIDE
    assert set(re.findall(r"`(Capture[A-Z]\w+)`", GUIDE)) == {rule["alert"] for rule in rules}


def test_events_in_alarms_and_panels_are_those_of_the_code(
    dashboard: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    """An event that was renamed would silence an alarm."""
    queries = [*expressions(dashboard), *(rule["expr"] for rule in rules)]
    events = {
        event
        for each in queries
        for found in re.findall(r'event!?=~?"([^"]*)"', each)
        for event in found.split("|")
    }
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "order_book_platform" / "capture").rglob("*.py")
    )
    assert events
    assert {event for event in events if f'"{event}"' not in code} == set()


def unit() -> dict[str, list[str]]:
    """The unit's values by `Section.Key`; a key may be given several times."""
    values: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(f"{section}.{key}", []).append(value)
    return values


def test_the_unit_is_an_ini_file_without_surprises() -> None:
    """Three sections, as systemd reads them."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]


def test_the_unit_starts_a_command_that_there_is() -> None:
    """The command line parses as a call of `obp capture` with the market of the instance."""
    (line,) = unit()["Service.ExecStart"]
    for name, value in {"%i": "usdm", "${SYMBOLS}": "BTCUSDT,ETHUSDT", "${METRICS_PORT}": "9464"}.items():
        assert name in line
        line = line.replace(name, value)
    program, *arguments = shlex.split(line)
    assert Path(program).name == "obp"
    with obp.make_context("obp", arguments) as group:
        assert group.params["config"] == Path("/etc/order-book-platform/platform.toml")
    with capture.make_context("capture", arguments[arguments.index("capture") + 1 :]) as context:
        assert context.params["market_name"] == "usdm"
        assert context.params["symbols"] == "BTCUSDT,ETHUSDT"
        assert context.params["metrics_port"] == 9464
    with pytest.raises(click.NoSuchOption):
        capture.make_context("capture", ["--symbol", "BTCUSDT"])


def test_the_unit_lets_a_capture_end_and_begin_again() -> None:
    """It has time for the last rows, is started again but after wrong settings, and names a setting that there is."""
    values = unit()
    assert int(values["Service.TimeoutStopSec"][0]) >= 30
    assert values["Service.Restart"] == ["always"]
    assert values["Service.RestartPreventExitStatus"] == ["2"]
    assert values["Unit.StartLimitIntervalSec"] == ["0"]
    assert values["Service.ProtectSystem"] == ["strict"]
    (credential,) = (each.split(":")[0] for each in values["Service.LoadCredential"])
    assert f"OBP_CAPTURE__KEY_FILE=%d/{credential}" in values["Service.Environment"]
    assert "key_file" in CaptureSettings.model_fields


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine does not run systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Systemd's own check says nothing about it, once the program and the user are ones that this machine has."""
    text = UNIT.read_text(encoding="utf-8")
    text = re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE).replace(
        "/opt/order-book-platform/.venv/bin/obp", "/bin/true"
    )
    path = tmp_path / "obp-capture@usdm.service"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
