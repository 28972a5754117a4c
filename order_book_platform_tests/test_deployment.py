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
from order_book_platform.observability.capture_exporter import ALARM_EVENTS, PREFIX, CaptureExporter
from order_book_platform.settings import CaptureSettings
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.observability.test_capture_exporter import METRICS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ALARMS = DEPLOY / "prometheus" / "capture-alerts.yml"
UNIT = DEPLOY / "obp-capture@.service"
GUIDE = (ROOT / "docs" / "capture_operation.md").read_text(encoding="utf-8")
NAME = re.compile(rf"{PREFIX}\w+")
EVENTS = re.compile(r'event!?=~?"([^"]*)"')
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
    text = ALARMS.read_text(encoding="utf-8")
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
    events = {event for each in queries for found in EVENTS.findall(each) for event in found.split("|")}
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "order_book_platform" / "capture").rglob("*.py")
    )
    assert events
    assert {event for event in events if f'"{event}"' not in code} == set()
    in_rules = {
        event for rule in rules for event in re.findall(r"[a-z_]+", "".join(EVENTS.findall(rule["expr"])))
    }
    assert in_rules == set(ALARM_EVENTS)


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


SERIES = {
    "CaptureDown": (3, {'up{job="obp-capture"}': ("0x5", "1x5")}),
    "CaptureConnectionsGone": (3, {"connections": ("0x5", "1x5")}),
    "CaptureDropsMessages": (4, {"dropped_messages_total": ("0 0 7 7 7", "7x5")}),
    "CaptureDiskRefusesRows": (3, {"device_refuses_rows": ("1x5", "0x5")}),
    "CaptureBufferFills": (3, {"buffer_bytes": ("51x5", "50x5"), "buffer_limit_bytes": ("100x5", "100x5")}),
    "CaptureDiskSpace": (400, {"disk_free_bytes": ("5e10-2e7x420", "5e10-1e7x420")}),
    "CaptureStreamSilent": (3, {'stream_age_seconds{stream="btcusdt@trade"}': ("3601x5", "3600x5")}),
    "CaptureDepthSilent": (3, {'stream_age_seconds{stream="btcusdt@depth@100ms"}': ("61x5", "60x5")}),
    "CaptureGaps": (4, {"stream_gaps_total": ("0 0 1 1 1", "1x5")}),
    "CaptureMessagesUnreadable": (4, {"stream_unreadable_total": ("0 0 1 1 1", "1x5")}),
    "CaptureReconnectsOften": (
        15.5,
        {
            'events_total{event="connect_failed"}': ("0 0 1 2 3x12", "0 0 1 2 2x12"),
            'events_total{event="connection_lost"}': ("0 0 1x14", "0 0 1x14"),
        },
    ),
    "CaptureStreamRefused": (4, {'events_total{event="subscription_refused"}': ("0 0 1 1 1", "1x5")}),
    "CaptureSlowDisk": (
        15,
        {
            'durable_seconds_bucket{le="0.1"}': ("0+98x20", "0+99x20"),
            'durable_seconds_bucket{le="0.2"}': ("0+100x20", "0+100x20"),
            'durable_seconds_bucket{le="+Inf"}': ("0+100x20", "0+100x20"),
        },
    ),
    "CaptureSnapshotsWait": (7, {"snapshots_waiting": ("1x10", "0x10")}),
    "CaptureRequestWeight": (
        7,
        {"request_weight": ("91x10", "90x10"), "request_weight_limit": ("100x10", "100x10")},
    ),
    "CaptureClockOff": (15, {"clock_offset_seconds": ("-0.051x20", "0.05x20")}),
    "CaptureClockUnknown": (35, {"clock_known": ("0x40", "1x40")}),
}
"""Of each alarm the minute at which it is looked at, and samples of every minute: so that it fires, and just not so.
Between two samples an increase is extrapolated."""
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not there: it comes with Prometheus (apt: prometheus)",
)


def promtool(*arguments: str) -> None:
    """Run a check of Prometheus, which has to succeed."""
    done = subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_alarm_fires_and_is_silent(tmp_path: Path, rules: list[dict[str, Any]]) -> None:
    """On series that were made up, at the minute given; on others just below its limit it does not."""
    assert list(SERIES) == [rule["alert"] for rule in rules]
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": name if name.startswith("up") else f"{PREFIX}{name}", "values": values[case]}
                for name, values in series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alarm}",alertstate="firing"}}) or vector(0)',
                    "eval_time": f"{round(60 * minute)}s",
                    "exp_samples": [{"labels": "{}", "value": 1 - case}],
                }
            ],
        }
        for alarm, (minute, series) in SERIES.items()
        for case in (0, 1)
    ]
    path = tmp_path / "test.yml"
    content = {"rule_files": [str(ALARMS)], "evaluation_interval": "30s", "tests": tests}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    promtool("check", "rules", str(ALARMS))
    promtool("test", "rules", str(path))


@needs_promtool
def test_prometheus_understands_the_dashboard(tmp_path: Path, dashboard: dict[str, Any]) -> None:
    """Every query of a panel parses, with Grafana's variables filled in."""
    rules = [
        {"record": f"panel:{number}", "expr": each.replace("$market", ".*").replace("$__rate_interval", "1m")}
        for number, each in enumerate(expressions(dashboard))
    ]
    assert not [rule for rule in rules if "$" in rule["expr"]]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(path))
