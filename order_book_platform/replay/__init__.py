"""The book and all that drives it, without any I/O.

In: batches of deltas and snapshots, gaps of a day or gaps found on the way, and thresholds. Out: rows of the visible
book, all live levels, and what became of each snapshot. `strategy` decides, `replay_steps` divides the inputs, `book`
applies them; `in_memory` does all of it for arrays that a caller has.
"""
