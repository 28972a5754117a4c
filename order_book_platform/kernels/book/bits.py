"""Two machine instructions that Python has no name for: the lowest set bit, and division that is known to be exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

if config.DISABLE_JIT:

    def lowest_bit(word: np.uint64) -> int:
        """Index of the lowest set bit; `word` is not 0."""
        return (int(word) & -int(word)).bit_length() - 1

    def exact_quotient(value: np.int64, inverse: np.uint64, twos: np.int64) -> int:
        """See below; with Python's integers, which do not wrap."""
        product = int(value) * int(inverse) & (2**64 - 1)
        quotient = (product >> int(twos) | product << (64 - int(twos))) & (2**64 - 1)
        return quotient - 2**64 if quotient >= 2**63 else quotient

else:

    @intrinsic
    def lowest_bit(typing_context: Any, word: Any) -> Any:
        """Index of the lowest set bit (int64); `word` is uint64 and not 0 (checked by no one)."""
        signature = types.int64(types.uint64)

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero_is_undefined = context.get_constant(types.boolean, True)
            return builder.cttz(arguments[0], zero_is_undefined)

        return signature, codegen

    @njit(inline="always")
    def exact_quotient(value, inverse, twos):  # type: ignore[no-untyped-def]
        """Value / divisor, of a value ≥ 0 that is divisible: a multiplication and a rotation, some 4 cycles.

        With divisor = 2**twos · odd and inverse = odd⁻¹ modulo 2**64. Of any other value the result, seen as unsigned,
        is larger than (2**63 − 1) // divisor.

        Source:
            Granlund and Montgomery, "Division by invariant integers using multiplication" (1994), section 9.
        """
        product = np.uint64(value) * inverse
        return np.int64(product >> np.uint64(twos) | product << np.uint64((64 - twos) & 63))


def divisor_inverse(divisor: int) -> tuple[int, int]:
    """What `exact_quotient` wants to know of a divisor ≥ 1: (odd⁻¹ modulo 2**64, twos)."""
    twos = (divisor & -divisor).bit_length() - 1
    return pow(divisor >> twos, -1, 2**64), twos
