"""The published datasets, one module each: schema, packing, and readers and writers of typed batches.

In: batches of the components, and published partitions. Out: tables to write, batches and rows read back, and `scan`,
which reads any dataset as a polars LazyFrame. Prices and sizes in memory are encoded (`model.encoding`), so that no
reader has to ask whether a partition holds pips or decimals.

A new dataset needs a module here with its schema, an entry in `model.dataset_catalog.DATASETS`, a description of each
column in `column_descriptions`, and a section in docs/formats/datasets.md.
"""
