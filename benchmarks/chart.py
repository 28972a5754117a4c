"""The replay benchmark for readers: a chart, and a table for the README, both made from its JSON.

Run: `python -m benchmarks.chart [RESULTS] [--image FILE]`; it writes the chart and prints the table.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import OURS, ROOT, run
from order_book_platform.errors import BenchmarkError
from order_book_platform.plots.figure import LIGHT, dress

RESULTS = ROOT / "benchmarks" / "results" / "replay.json"
IMAGE = ROOT / "docs" / "images" / "replay_benchmark.svg"
STREAM = "simulated BTC perpetual"
BEST, TOP, CHANGED = "best bid/ask per message", "top 20 per message", "top 20 when it changed"
BEST_EVERY, TOP_EVERY = "best bid/ask after every delta", "a full top-20 row for every delta"
FLATNESS = {
    r"([\d,]+) deltas on end": "deltas on end",
    r"([\d,]+) live levels, updates hit the best levels": "live levels, the best ones updated",
    r"([\d,]+) live levels, updates hit all levels alike": "live levels, all updated alike",
}

Json = dict[str, Any]


def read(path: Path) -> Json:
    """A results file of the replay benchmark.

    Raises:
        BenchmarkError: it is none.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_results(path, str(error)) from error
    if not isinstance(document, dict) or document.get("benchmark") != "replay":
        raise _no_results(path, "something else")
    results: Json = document
    return results


def _no_results(path: Path, found: str) -> BenchmarkError:
    return BenchmarkError(
        expected="what `obp bench replay --json` prints",
        found=found,
        where=str(path),
        remedy="Run `obp bench replay --json > benchmarks/results/replay.json`.",
    )


def throughputs(document: Json, work: str, stream: str) -> dict[str, float | None]:
    """Deltas/s of each system at one work, in order of the results; None where it was not measured."""
    return {
        result["system"]: result["value"]
        for result in document["results"]
        if result["metric"] == "throughput" and result["work"].startswith(f"{work}, {stream}")
    }


def costs(document: Json, pattern: str) -> list[tuple[int, float, float, float]]:
    """Length or crowd, then median, least and largest cost in ns, for each result whose work has the pattern."""
    found = []
    for result in document["results"]:
        match = re.search(pattern, result["work"])
        if match and result["metric"] == "cost":
            number = int(match[1].replace(",", ""))
            found.append((number, result["value"], result["min"], result["max"]))
    return found


def markdown(document: Json) -> str:
    """Two tables: ours beside the others, and ours at each work; below them where it was measured."""
    best = throughputs(document, BEST, STREAM)
    top = throughputs(document, TOP, STREAM)
    lines = [f"| M deltas/s, one core | {BEST} | ours / theirs | {TOP} |", "|---|---:|---:|---:|"]
    for system, value in best.items():
        times = "" if system == OURS else _ratio(document, system)
        name = f"**{system}**" if system == OURS else system
        lines.append(f"| {name} | {_millions(value)} | {times} | {_millions(top.get(system))} |")
    lines += ["", "| ours, other work | M deltas/s |", "|---|---:|"]
    for work, stream in (
        (CHANGED, STREAM),
        (BEST_EVERY, ""),
        (TOP_EVERY, ""),
        (BEST, "recorded"),
        (TOP, "recorded"),
    ):
        value = throughputs(document, work, stream).get(OURS)
        if value is not None:
            lines.append(
                f"| {work}{', recorded BTCUSDT perpetual' if stream == 'recorded' else ''} | {_millions(value)} |"
            )
    machine, versions = document["machine"], document["versions"]
    packages = ", ".join(
        f"{name} {versions[name]}" for name in ("numba", "hftbacktest", "lakeapi") if name in versions
    )
    lines += ["", f"{machine['cpu']}, {machine['cores']} cores; {packages}; commit {document['commit']}."]
    return "\n".join(lines)


def _millions(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:.2g}" if value < 10e6 else f"{value / 1e6:.0f}"


def _ratio(document: Json, system: str) -> str:
    for ratio in document["ratios"]:
        if ratio["denominator"] == system and ratio["work"].startswith(f"{BEST}, {STREAM}"):
            return f"{ratio['value']:.1f}"
    return "–"


def draw(document: Json) -> Figure:
    """Left: ours beside the others. Right: what a delta costs in ever longer streams and ever fuller books."""
    figure = Figure(figsize=(10, 3.8), facecolor=LIGHT.ground)
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.subplots_adjust(left=0.29, right=0.985, bottom=0.15, top=0.9, wspace=0.3)
    _draw_systems(bars, throughputs(document, BEST, STREAM))
    _draw_costs(lines, document)
    return figure


def _draw_systems(axes: Axes, systems: dict[str, float | None]) -> None:
    measured = {name: value for name, value in systems.items() if value is not None}
    names = list(measured)[::-1]
    values = [measured[name] / 1e6 for name in names]
    colours = [LIGHT.bid if name == OURS else LIGHT.placebo for name in names]
    axes.barh([name.replace(", ", ",\n") for name in names], values, color=colours, height=0.65)
    for place, value in enumerate(values):
        text = f" {value:.2g}" if value < 10 else f" {value:.0f}"
        axes.text(value, place, text, va="center", fontsize=9, color=LIGHT.ink)
    dress(axes, LIGHT, title="Best bid/ask per message, M deltas/s, one core")
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.12 * max(values, default=1.0))
    axes.tick_params(axis="y", labelsize=8)


def _draw_costs(axes: Axes, document: Json) -> None:
    highest = 1.0
    for (pattern, label), colour in zip(FLATNESS.items(), (LIGHT.bid, LIGHT.ask, LIGHT.placebo), strict=True):
        found = costs(document, pattern)
        if not found:
            continue
        numbers, medians, least, largest = zip(*found, strict=True)
        below = [median - low for median, low in zip(medians, least, strict=True)]
        above = [high - median for median, high in zip(medians, largest, strict=True)]
        axes.errorbar(
            numbers, medians, yerr=[below, above], marker="o", markersize=4, color=colour, label=label
        )
        highest = max(highest, *medians)
    dress(axes, LIGHT, title="Cost of a delta, ns", x_label="deltas, or live levels")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1, 10 ** math.ceil(math.log10(5 * highest)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=LIGHT.ink)


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, equal for equal figures: no date, no random names."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "replay"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def main() -> None:
    """Write the chart, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chart", description="Chart and table of the replay."
    )
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--image", type=Path, default=IMAGE)
    chosen = parser.parse_args()
    document = read(chosen.results)
    chosen.image.write_bytes(svg_bytes(draw(document)))
    print(markdown(document))


if __name__ == "__main__":
    sys.exit(run(main))
