"""How fast the replay loop is, beside other systems: one core, deltas already in memory.

What is timed: applying every delta to the book and, after each message, its best bid and ask (or the top 20). Not
timed: laying the stream out in the memory of each system, and making an empty book. Ours gives a row of int64: three
numbers of the message, flags, how many levels are known, and price and size of each level; the others give prices.
The systems run in turn on the same core; times are the core's own, so that other programs on it do not count. A system
that sees another best price after any message, or ends with another top 20, is an error. Which way of driving
hftbacktest the bar is held against: docs/adr/0011.

Run: `python -m benchmarks.replay [--json] [--deltas N] [--runs N]`.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from benchmarks.contest import Other, Ours, measure
from benchmarks.flatness import measure_length, measure_levels
from benchmarks.memory import measure_bandwidth, report_traffic
from benchmarks.report import Report, arguments, run, stay_on_one_core
from benchmarks.streams import one_row_a_message, recorded, recordings_folder, simulated

DELTAS = 20_000_000
LEAST_DELTAS = 30_000
"""A whole book of some 8,000 levels opens each stream; shorter ones have nothing after it to measure."""
RUNS = 5

BEST = Ours("best bid/ask per message", 1, "message", 60e6)
TOP = Ours("top 20 per message", 20, "message", 50e6)
CHANGED = Ours("top 20 when it changed", 20, "change")
BEST_EVERY = Ours("best bid/ask after every delta", 1, "message")
TOP_EVERY = Ours("a full top-20 row for every delta", 20, "message", 8e6)

HFT, LAKE = "benchmarks.peers_hftbacktest", "benchmarks.peers_lakeapi"
ALONE = "depth alone: a backtest whose exchange sees no event, one elapse a message"
WHOLE = "as its users run it: the exchange keeps a second book"
ROI = Other("hftbacktest ROIVectorMarketDepth", HFT, "ROIVectorMarketDepth", BEST, ALONE)
HASHED = Other("hftbacktest HashMapMarketDepth", HFT, "HashMapMarketDepth", BEST, ALONE)
LAKEAPI = Other(
    "lakeapi OrderBookUpdater",
    LAKE,
    "OrderBookUpdater",
    BEST,
    "process_next_update and get_bests, no depth limit",
    40.0,
    share=10,
)
OTHERS = (
    ROI,
    replace(
        ROI,
        label=f"{ROI.label}, whole backtest",
        system=f"{ROI.system}, whole backtest",
        remark=WHOLE,
        required=5.0,
    ),
    replace(
        ROI,
        system=f"{ROI.system}, top 20",
        rival=TOP,
        remark=f"read from its arrays tick by tick; {ALONE}",
    ),
    HASHED,
    replace(
        HASHED,
        label=f"{HASHED.label}, whole backtest",
        system=f"{HASHED.system}, whole backtest",
        remark=WHOLE,
    ),
    LAKEAPI,
    replace(
        LAKEAPI,
        label=f"{LAKEAPI.label}, compiled throughout",
        system=f"{LAKEAPI.system}, compiled throughout",
        remark="its private update function, in one compiled loop that also finds the best price",
        required=None,
    ),
    replace(
        LAKEAPI,
        system=f"{LAKEAPI.system}, top 20",
        rival=TOP,
        remark="its dicts sorted after each message, compiled",
        required=None,
        share=100,
    ),
)


def measure_all(deltas: int, runs: int) -> Report:
    """Every stream and every work.

    Args:
        deltas: length of the long streams; the others are shorter in proportion.
        runs: turns that count.

    Raises:
        BenchmarkError: a system keeps another book than ours.
    """
    report = Report("replay")
    bandwidth = measure_bandwidth(report, runs)
    stream = simulated(deltas)
    reached = measure(report, stream, (BEST, TOP, CHANGED), OTHERS, runs)
    report_traffic(report, stream.batch, len(stream.starts), BEST.depth, reached[BEST], bandwidth)
    measure_length(report, stream, tuple(max(1, deltas * times // 20) for times in (1, 10, 100)), runs)
    stream = one_row_a_message(stream)
    every = tuple(replace(other, rival=BEST_EVERY) for other in (ROI, HASHED))
    measure(report, stream, (BEST_EVERY, TOP_EVERY), every, runs)
    del stream
    measure_levels(report, max(1, deltas // 10), runs)
    folder = recordings_folder()
    if folder is None:
        print("No recordings: their stream is left out (OBP_RECORDINGS names the folder).", file=sys.stderr)
    else:
        works = tuple(replace(work, required=None) for work in (BEST, TOP, CHANGED))
        beside = tuple(replace(other, rival=works[0]) for other in (ROI, HASHED))
        measure(report, recorded(folder, max(1, deltas // 4)), works, beside, runs)
    return report


def main() -> None:
    """Measure and print."""
    parser = arguments("replay", "The replay loop beside other systems.")
    parser.add_argument("--deltas", type=int, default=DELTAS, help="of a long stream (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=RUNS, help="turns that count (default: %(default)s)")
    chosen = parser.parse_args()
    if chosen.deltas < LEAST_DELTAS:
        parser.error(f"--deltas: expected {LEAST_DELTAS} or more, as a whole book opens the stream")
    if chosen.runs < 1:
        parser.error("--runs: expected 1 or more")
    stay_on_one_core()
    measure_all(chosen.deltas, chosen.runs).show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
