"""The passes over a day's tables, each made once.

In: `DayInputs`, opened tables. Out: metrics and plain tables. `book_pass` reads the narrow columns of the book,
`snapshot_pass`, `ticker_pass` and `golden_pass` compare its rows with one kind of reference each.
"""
