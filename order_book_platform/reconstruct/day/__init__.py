"""The reconstruction of one published day.

In: the partitions of a symbol and day. Out: the parts of `reconstructed_books`, resumed from checkpoints and begun
again where a stage stalls; the book at an instant; a second replay.
"""
