"""The loops of the book: a ladder of levels, the replay that changes it, and the rows that show it.

In: columns of whole messages, a schedule of snapshots and flag bits, and the arrays of a book (`ladder_arrays`,
`replay_arrays`), which `replay.book.Book` owns. Out: the changed book, rows of its visible levels, and a status.
"""
