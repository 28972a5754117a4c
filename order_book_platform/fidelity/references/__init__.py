"""The references that a book is compared with: which rows may be compared, and which book row each belongs to.

In: streams of snapshots, tickers or golden books. Out: rows that are held out, sound and in order, with placebos.
"""
