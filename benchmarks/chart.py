"""The replay benchmark for readers: a chart, and a table for the README, both made from its JSON.

Run: `python -m benchmarks.chart [RESULTS] [--image FILE]`; it writes the chart and prints the table.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import OURS, ROOT, run
from order_book_platform.errors import BenchmarkError
from order_book_platform.plots.axes import Panel, Scale
from order_book_platform.plots.svg import Svg, box_path, line_path

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


def draw(document: Json) -> Svg:
    """Left: ours beside the others. Right: what a delta costs in ever longer streams and ever fuller books."""
    svg = Svg(410, "Throughput of the replay loop, and cost of a delta")
    _draw_systems(svg, throughputs(document, BEST, STREAM))
    _draw_costs(svg, document)
    return svg


def _draw_systems(svg: Svg, systems: dict[str, float | None]) -> None:
    """A bar for each system that was measured, with its value at the end."""
    measured = {name: value / 1e6 for name, value in systems.items() if value is not None}
    highest = max(measured.values(), default=1.0)
    panel = Panel(svg, 250, 34, 340, 330, Scale(0.0, 1.12 * highest), Scale(len(measured) or 1, 0.0))
    panel.draw_axes(
        title="Best bid/ask per message, M deltas/s, one core",
        x_ticks=panel.x_scale.ticks(6),
        grid="x",
    )
    thickness = 0.65 * panel.height / (len(measured) or 1)
    zero = float(panel.x_px(0.0))
    for bar, (name, value) in enumerate(measured.items()):
        middle, end = float(panel.y_px(bar + 0.5)), float(panel.x_px(value))
        data = box_path([zero], [middle - thickness / 2], [end - zero], [thickness])
        svg.area(data, "bid" if name == OURS else "placebo")
        svg.text(end + 5, middle + 4, f"{value:.2g}" if value < 10 else f"{value:.0f}", kind="k")
        lines = name.replace(", ", ",\n").split("\n")
        for row, words in enumerate(lines):
            svg.text(panel.left - 8, middle + 4 + 13 * (row - (len(lines) - 1) / 2), words, anchor="end")


def _draw_costs(svg: Svg, document: Json) -> None:
    """A line for each kind of work through the medians, with a bar from the least to the largest cost."""
    found = {label: costs(document, pattern) for pattern, label in FLATNESS.items()}
    numbers = [number for points in found.values() for number, *_ in points] or [1, 10]
    highest = max((median for points in found.values() for _, median, *_ in points), default=1.0)
    x = Scale(min(numbers) / 2, max(numbers) * 2, "log")
    y = Scale(1.0, 10.0 ** math.ceil(math.log10(5 * highest)), "log")
    panel = Panel(svg, 670, 34, 410, 330, x, y)
    panel.draw_axes(
        title="Cost of a delta, ns",
        x_label="deltas, or live levels",
        x_ticks=x.ticks(8),
        y_ticks=y.ticks(6),
    )
    drawn = [
        (label, colour)
        for label, colour in zip(FLATNESS.values(), ("bid", "ask", "ink"), strict=True)
        if found[label]
    ]
    for row, (label, colour) in enumerate(drawn):
        points = np.array(found[label], dtype=np.float64)
        across, (median, least, largest) = (
            panel.x_px(points[:, 0]),
            (panel.y_px(column) for column in points.T[1:]),
        )
        svg.path(line_path(across, median), colour)
        for at, low, high in zip(across, least, largest, strict=True):
            svg.path(f"M{at:.1f} {low:.1f}V{high:.1f}", colour)
        svg.dots(across, median, colour, width=6.0)
        svg.legend(panel.right, panel.top + 16 + 16 * row, [(label, colour)])


def main() -> None:
    """Write the chart, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chart", description="Chart and table of the replay."
    )
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--image", type=Path, default=IMAGE)
    chosen = parser.parse_args()
    document = read(chosen.results)
    chosen.image.write_text(draw(document).standalone(), encoding="utf-8")
    print(markdown(document))


if __name__ == "__main__":
    sys.exit(run(main))
