"""Books and trades of decimals as the int64 pips that features are made of, where those hold them."""

from __future__ import annotations

import pyarrow as pa

from order_book_platform.errors import PrecisionError
from order_book_platform.model import FixedPoint
from order_book_platform.model.decimal128 import DECIMALS, divide, words_of


def batch_in_pips(batch: pa.RecordBatch, point: FixedPoint, where: str) -> pa.RecordBatch:
    """The same rows with `…_pips` columns in place of decimals.

    Args:
        batch: some columns of books or trades.
        point: decimals of the pips.
        where: named in the error.

    Raises:
        PrecisionError: a price or a size is no whole number of these pips, or 2**61 or more of them.
    """
    names, columns = [], []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_decimal(column.type):
            names.append(name)
            columns.append(column)
            continue
        names.append(f"{name}_pips")
        decimals = point.price_decimals if name.endswith("price") else point.size_decimals
        filled = column.fill_null(0)
        pips, exact = divide(words_of(filled), 10 ** (DECIMALS - decimals))
        if not exact.all():
            raise PrecisionError(
                expected="prices and sizes that fit int64 pips, since features are exact integers: here of "
                f"{point.price_decimals} and {point.size_decimals} decimals",
                found=f"{filled[int(exact.argmin())].as_py():f} in column {name}, precision decimal128",
                where=where,
                remedy="Leave rl_features of this day out; its books and fidelity are exact. Integer features need "
                "prices and sizes that span fewer digits.",
            )
        missing = column.is_null().to_numpy(zero_copy_only=False)
        columns.append(pa.array(pips, mask=missing if missing.any() else None))
    return pa.RecordBatch.from_arrays(columns, names)
