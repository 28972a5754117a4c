"""The figures of a fidelity report: comparisons and statistics that add up a batch of rows at a time.

In: aligned rows of a book and of a reference. Out: `Metric` rows and plain tables; nothing is read or drawn here.
"""
