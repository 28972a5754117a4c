"""Judges days of the lake of which nothing has been published yet.

In: Crypto Lake files. Out: `lake_assessor` gives the report of one day, from a sample or from every row, and
`lake_range` a summary of many days from their footers alone.
"""
