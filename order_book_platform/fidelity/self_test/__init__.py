"""The test of the report itself: known defects, slow definitions, and the comparison of both.

In: a sound day in a store. Out: every gate on every defective day, and the unexpected outcomes.
"""
