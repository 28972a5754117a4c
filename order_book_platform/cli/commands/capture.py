"""`obp capture` records a market of Binance until it is stopped."""

from __future__ import annotations

import logging
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from order_book_platform.cli.options import Invocation, SecondsType, json_option, stopped_by_signals

if TYPE_CHECKING:
    from order_book_platform.capture import LiveCapture
    from order_book_platform.observability import CaptureMetrics

STATUS_EVERY = 10
"""Seconds between two lines about the state of a capture where there is no terminal."""


@click.command(short_help="Record a market of Binance, live.")
@click.option("--market", "market_name", required=True, help="usdm, coinm or spot.")
@click.option("--symbols", required=True, help="Symbols as Binance spells them, with commas between.")
@click.option(
    "--duration",
    type=SecondsType(),
    help="Seconds to record, or a time such as 5m.  [default: until stopped]",
)
@click.option("--name", help="Name of the capture, its folder below capture_root.  [default: the market]")
@click.option("--ws-url", help="Base of websocket URLs.  [default: the exchange's]")
@click.option("--rest-url", help="Base of REST URLs.  [default: the exchange's]")
@click.option(
    "--ca-file", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="Certificates to trust."
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), help="Port of /metrics and /healthz on 127.0.0.1."
)
@click.option("--seal", is_flag=True, help="Seal the last segment at the end.")
@json_option
@click.pass_obj
def capture(
    invocation: Invocation,
    market_name: str,
    symbols: str,
    duration: float | None,
    name: str | None,
    ws_url: str | None,
    rest_url: str | None,
    ca_file: Path | None,
    metrics_port: int | None,
    seal: bool,
    as_json: bool,
) -> None:
    """Record depth, tickers and trades of a market exactly as they come, with snapshots and every gap named.

    Ctrl-C or SIGTERM ends it: what was received is then on the disk. The next call goes on in the same log. SIGUSR1
    replaces every connection, the new one opened before the old one is closed.
    docs/formats/raw_log.md says what is recorded; the section `capture` of the settings has the limits.

    \b
    Example:
      obp capture --market usdm --symbols BTCUSDT,ETHUSDT --duration 60
    """  # noqa: D301 - \b is click's mark for "do not rewrap"
    settings = invocation.settings()

    from order_book_platform.capture import LiveCapture
    from order_book_platform.cli.output import print_json
    from order_book_platform.sources.binance.market import market_named
    from order_book_platform.storage.master_keys import load_master_keys

    taken = LiveCapture(
        settings.capture,
        settings.capture_root,
        market_named(market_name),
        _symbols(symbols),
        name=_checked_name(name),
        ws_url=_checked_url(ws_url, "--ws-url", ("ws", "wss")),
        rest_url=_checked_url(rest_url, "--rest-url", ("http", "https")),
        tls=ssl.create_default_context(cafile=str(ca_file)) if ca_file else None,
        keys=load_master_keys(settings.capture.key_file),
    )
    port = settings.capture.metrics_port if metrics_port is None else metrics_port
    metrics = _run(taken, duration, port, seal)
    if as_json:
        print_json(_facts(metrics, taken.folder))
    else:
        from order_book_platform.cli.capture_view import summary_line

        click.echo(f"{summary_line(metrics)}; recorded in {taken.folder}")


def _symbols(text: str) -> list[str]:
    found = [each.strip().upper() for each in text.split(",") if each.strip()]
    if not found:
        raise click.BadParameter("expected at least one symbol", param_hint="--symbols")
    return found


def _checked_name(name: str | None) -> str | None:
    if name is not None and (not name or name in (".", "..") or "/" in name or "\0" in name):
        raise click.BadParameter("expected the name of a folder", param_hint="--name")
    return name


def _checked_url(url: str | None, option: str, schemes: tuple[str, str]) -> str | None:
    """Refuse an address that cannot be connected to; a capture would try it again and again, and record nothing."""
    if url is not None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:  # of a port that is no number, or an unfinished IPv6 address
            usable = False
        if not usable:
            expected = f"{schemes[0]}://HOST:PORT or {schemes[1]}://HOST"
            raise click.BadParameter(f"expected {expected}, found {url!r}", param_hint=option)
    return url


def _run(taken: LiveCapture, duration: float | None, port: int | None, seal: bool) -> CaptureMetrics:
    """Record until the time is over or a signal comes, and show and serve the figures meanwhile."""
    from order_book_platform.clock import NS_PER_SECOND, Clock
    from order_book_platform.observability.capture_exporter import CaptureExporter

    with ExitStack() as stack:
        observers: list[Callable[[CaptureMetrics], None]] = [stack.enter_context(_shown())]
        if port is not None:
            observers.append(stack.enter_context(CaptureExporter(port, Clock())).update)
        stopped = stack.enter_context(stopped_by_signals())
        is_rotation_due = stack.enter_context(_asked_by_signal())

        def is_over() -> bool:
            if is_rotation_due():
                taken.rotate()
            return stopped.is_set()

        def observe(metrics: CaptureMetrics) -> None:
            for each in observers:
                each(metrics)

        duration_ns = None if duration is None else round(duration * NS_PER_SECOND)
        return taken.run(is_over, duration_ns=duration_ns, observe=observe, seal=seal)


@contextmanager
def _asked_by_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether SIGUSR1 has come since it was last called."""
    asked = threading.Event()

    def is_asked() -> bool:
        if not asked.is_set():
            return False
        asked.clear()
        return True

    before = signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    try:
        yield is_asked
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def _shown() -> Iterator[Callable[[CaptureMetrics], None]]:
    """Show figures and warnings on stderr: a table on a terminal, else a JSON line now and then."""
    from rich.live import Live

    from order_book_platform.cli.capture_view import capture_view, summary_line
    from order_book_platform.cli.output import kept_stderr, lines_above, live_console
    from order_book_platform.observability.json_lines import JsonLines

    if sys.stderr.isatty():
        with kept_stderr() as stream:
            console = live_console(stream)
            with Live(console=console, transient=True, auto_refresh=False) as live, lines_above(console):
                yield lambda metrics: live.update(capture_view(metrics, console.height), refresh=True)
        return
    log = logging.getLogger("order_book_platform")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    seen = 0

    def status(metrics: CaptureMetrics) -> None:
        nonlocal seen
        if seen % STATUS_EVERY == 0:
            log.info("%s", summary_line(metrics), extra={"event": "status"})
        seen += 1

    try:
        yield status
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before


def _facts(metrics: CaptureMetrics, folder: Path) -> dict[str, Any]:
    """Return the figures of the run, for JSON."""
    facts = {name: value for name, value in asdict(metrics).items() if name != "durable_buckets"}
    return {"folder": str(folder), "gaps": metrics.gaps, **facts}
