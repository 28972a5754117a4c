"""A worker for tests of the benchmarks whose package is not installed."""

from __future__ import annotations

from benchmarks.peers_worker import serve

if __name__ == "__main__":
    serve(("a-package-that-nobody-installed",), lambda deltas: {})
