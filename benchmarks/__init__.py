"""Benchmarks: speed belongs here, not in the tests. `make bench`, or `obp bench replay --json`.

`BENCHMARKS` names what `obp bench NAME` runs: a module here with a `main()`, and what it measures.
"""

BENCHMARKS = {
    "replay": "the replay loop beside hftbacktest and lakeapi: best bid/ask, top 20, flatness",
    "day": "a whole day of a BTC perpetual through all six assets: time and memory of each",
    "limit": "the books of half a day, a whole one and a double one within a limit of memory",
    "checkpoints": "what checkpoints cost a reconstruction: with and without them, in turn",
    "assess": "judging data before they are read: a day by sample, by every row, a year by its footers",
    "precision": "int64 pips beside decimal128: conversion, arithmetic, Parquet, and from files to books",
    "follow": "the tail of a live capture: catching up with a log, and the delay from append to row",
    "exchange": "the local exchange under load: messages a second, their delay, and its share of a core",
    "capture": "a live capture under load: losses by the exchange's list, arrival to durable, its share of a core",
    "soak": "a live capture for half an hour, disconnected every minute: does anything grow, is anything lost",
    "recorders": "a live capture beside cryptofeed under the same faults: what each loses, and what it tells of",
    "cancel": "how long a reconstruction takes to end when it is told to, and that the next one goes on",
    "start": "from the start of a process to its first rows: warm, cold, eight at once",
}
