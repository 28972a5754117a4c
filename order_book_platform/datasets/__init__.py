"""The published datasets, most with a module each: schema, packing, and readers and writers of typed batches.

In: batches of the components, and published partitions. Out: tables to write, batches and rows read back, and `scan`,
which reads any dataset as a polars LazyFrame. Prices and sizes in memory are encoded (`model.pip_encoding`), so that no
reader has to ask whether a partition holds pips or decimals.
"""
