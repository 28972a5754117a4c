"""Every schema of the dataset modules, by the name of its constant."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pyarrow as pa

from order_book_platform import datasets

ALL_SCHEMAS: dict[str, pa.Schema] = {
    name: value
    for module in pkgutil.walk_packages(datasets.__path__, "order_book_platform.datasets.")
    for name, value in vars(import_module(module.name)).items()
    if isinstance(value, pa.Schema)
}
