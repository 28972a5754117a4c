"""`reconstructed_books`: the visible book after each event, with the snapshots that shaped it and its closing state.

In: rows of the replay, as int64 arrays. Out: tables to write, their `replay_hash`, and typed rows read back from the
published parts. `schema` has the columns, `writer` what a replay writes with, and `reader` the typed rows and the ways
to read them.
"""
