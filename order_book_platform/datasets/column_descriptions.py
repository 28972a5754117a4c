"""The meaning of each column of the datasets in one sentence, declared once for everybody who shows columns.

A column name means the same in every dataset, so the table is keyed by the name alone. The column tables of the
Dagster UI read from here, and tests hold the schemas and docs/formats to it. The published files do not carry the
descriptions.
"""

from __future__ import annotations

import re

_LEVEL = re.compile(r"(bid|ask)_(\d+)_(price|size)(_pips)?")
_SIDE = re.compile(r"(bid|ask)_(price|size)(_pips)?")

_FAMILIES = {
    re.compile(r"qi_(\d+)"): "Imbalance of the {0} best levels, bids − asks over their sum, in [−1, 1].",
    re.compile(r"mlofi_(\d+)"): (
        "Order flow imbalance at the best level no. {0} over the flow window, in size pips."
    ),
    re.compile(r"ret_(\d+s)"): "Log return of the mid over the last {0}, in bps.",
    re.compile(r"rv_(\d+s)"): "Realised volatility over the last {0}, from one-second returns, in bps.",
}
"""Columns whose name holds a number or a duration; that part of the name fills the placeholder."""

_DESCRIPTIONS = {
    # times and numbers of messages
    "origin_time": "Exchange event time (E), ns since the epoch, UTC.",
    "transaction_time": "Exchange transaction time (T), ns since the epoch, UTC; null where not known.",
    "received_time": "Local arrival, ns since the epoch, UTC; never rewritten.",
    "sequence_number": "The message's final update id (u); all rows of one message share it.",
    "first_update_id": "The message's first update id (U); null where the source lacks it.",
    "prev_final_update_id": "Final update id of the message before (pu); null where the source lacks it.",
    # deltas, trades, closing state
    "is_bid": "True: bid side; false: ask side.",
    "is_buy": "True: the aggressor bought; false: the aggressor sold.",
    "trade_id": "The exchange's number of the trade.",
    "price": "Price, exact.",
    "size": "Absolute size at that price, exact; 0 removes the level.",
    "price_pips": "Price · 10^price_decimals.",
    "size_pips": "Absolute size at that price · 10^size_decimals; 0 removes the level.",
    "known": "Whether the price lies inside the range the book knows.",
    # books
    "flags": "Bits: 1 seeded, 2 gap, 4 repaired, 8 crossed, 16 locked, 32 unknown depth, 64 corrupt.",
    "known_bid_levels": "How many bid levels, counted from the best, lie inside the known price range.",
    "known_ask_levels": "How many ask levels, counted from the best, lie inside the known price range.",
    # snapshots that were used
    "use": "Whether the snapshot seeded, extended or repaired the book, or was rejected.",
    "levels_compared": "Levels of the snapshot inside the price range the book knew.",
    "levels_wrong": "Those of the compared levels at which the book had another size.",
    "levels_added": "Levels that the book took from the snapshot.",
    # gaps
    "kind": "`exact`: proven by ids; `inferred`: concluded from silence, crossing or disagreement.",
    "cause": "What made it a gap.",
    "gap_class": "How large it is, by the thresholds of the settings.",
    "action": "What the reconstruction does about it.",
    "from_sequence_number": "Last message before the gap.",
    "to_sequence_number": "First message after the gap.",
    "from_origin_time": "Event time of the last message before, ns since the epoch, UTC.",
    "to_origin_time": "Event time of the first message after, ns since the epoch, UTC.",
    "proven": "Whether a loss is shown, not only suggested.",
    "flagged_from_sequence_number": "First message whose row is doubtful because of the gap.",
    "flagged_until_sequence_number": "First message that is no longer doubtful; null: doubt lasts to the end.",
    "missing_ids": "Update ids that are proven missing; null where ids prove nothing.",
    "detail": "One sentence for people.",
    # metrics of fidelity
    "name": "Name of the metric.",
    "value": "The figure; null where nothing could be measured.",
    "low": "Lower end of the figure's 95 % interval; null where there is none.",
    "high": "Upper end of the figure's 95 % interval; null where there is none.",
    "gate": "The bar it is held against; null where the figure is only reported.",
    "pass": "Whether the bar is met.",
    "n": "Observations behind the figure.",
    "unmatched": "Reference rows without a counterpart.",
    "alignment": "How book and reference were paired: by sequence number, origin time or arrival.",
    "reference": "What the book was measured against.",
    "placebo_1s": "The same figure with the reference shifted by 1 s.",
    "placebo_10s": "The same figure with the reference shifted by 10 s.",
    "placebo_no_bid": "The same figure with the reference without its best bid.",
    "placebo_no_ask": "The same figure with the reference without its best ask.",
    "placebo_fails": "Whether the shifted reference fails the gate, as it has to.",
    # features
    "time": "Time of the row on the sampling clock, ns since the epoch, UTC; made from events up to it only.",
    "mid2": "Best bid + best ask, in half pips, exact.",
    "spread_ticks": "Best ask − best bid, in ticks; negative where crossed.",
    "spread_bps": "Best ask − best bid over the mid, in bps.",
    "wmid_off": "Size-weighted mid − mid, in ticks.",
    "ofi_1": "Order flow imbalance at the best prices over the flow window, in size pips.",
    "n_updates": "Book rows per second over the flow window.",
    "n_trades": "Trades per second over the flow window.",
    "tfi": "Trade flow imbalance over the flow window, (bought − sold) / (bought + sold), in [−1, 1].",
    "stale_ms": "Age of the book row in effect, in ms.",
    "latency_ms": "Arrival − event time of the book row in effect, in ms.",
    "gap_flag": "Whether a doubtful row (gap, corrupt) was in effect in this step.",
    "crossed": "Whether the book was crossed in this step.",
    "valid": "Whether the book is two-sided, seeded and free of doubt: use no other rows.",
}


def column_description(name: str) -> str | None:
    """Say in one sentence what a column means, with or without `_pips`; None for a name that no dataset has."""
    if name in _DESCRIPTIONS:
        return _DESCRIPTIONS[name]
    if level := _LEVEL.fullmatch(name):
        side, number, field, pips = level.groups()
        place = "Best" if number == "0" else f"Level {number}"
        return f"{place} {side} {field}{_scale(field, pips)}; null where there is no such level."
    if best := _SIDE.fullmatch(name):
        side, field, pips = best.groups()
        return f"Best {side} {field}{_scale(field, pips)}; of a snapshot a list, best level first."
    for pattern, text in _FAMILIES.items():
        if match := pattern.fullmatch(name):
            return text.format(*match.groups())
    return None


def _scale(field: str, pips: str | None) -> str:
    """Return how a pip column of prices or sizes is scaled; nothing for decimals, which are exact as they stand."""
    return f" · 10^{field}_decimals" if pips else ""
