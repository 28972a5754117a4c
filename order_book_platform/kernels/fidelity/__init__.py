"""Loops over pairs of a book and a reference, which measure how exact the book is.

In: rows of a book, of a reference and their times. Out: counts, sums and histograms that grow from batch to batch.
"""
