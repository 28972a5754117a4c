"""Loops over columns as they are read: floats to pips, an audit of deltas, defects of snapshots.

In: columns of files. Out: converted columns, counts, and what is wrong with each snapshot.
"""
