"""The numba loops: arrays in, arrays out, no I/O, no errors raised inside.

In: columns of deltas and snapshots, the book's arrays. Out: rows of the reconstructed book, counts, statuses. What a
status means is turned into an error by the thin classes beside the loops (`book.Book`).
"""
