"""Benchmarks: speed belongs here, not in the tests. `make bench`, or `python -m benchmarks.replay --json`."""
