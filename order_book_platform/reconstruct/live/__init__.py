"""Books of a live capture in near real time.

In: the logs `raw_deltas` and `snapshots` of a capture. Out: a log of books, to which each row is appended once however
often following is killed, and a log of findings.
"""
