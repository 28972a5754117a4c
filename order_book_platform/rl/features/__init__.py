"""Features on a fixed clock, made from past events only.

In: book rows and trades of one partition, read in chunks (`event_reader`). Out: rows of `rl_features` with counts and
gates. `feature_columns` sums events step by step and makes the columns, and `feature_builder` runs it all.
"""
