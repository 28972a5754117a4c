"""Two operations that Python has no name for: the index of the lowest set bit, and division without a remainder.

Both are on the path of every delta or level, and both are one to a few machine instructions. With NUMBA_DISABLE_JIT
they are plain Python of the same result, so that the loops can be tested uncompiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, njit, types
from numba.extending import intrinsic

if config.DISABLE_JIT:

    def lowest_bit(word: np.uint64) -> int:
        """Give the index of the lowest set bit; `word` is not 0."""
        return (int(word) & -int(word)).bit_length() - 1

    def exact_quotient(value: np.int64, inverse: np.uint64, twos: np.int64) -> int:
        """Divide as the compiled `exact_quotient` does, with Python's integers cut to 64 bits by hand."""
        product = int(value) * int(inverse) & (2**64 - 1)
        quotient = (product >> int(twos) | product << (64 - int(twos))) & (2**64 - 1)
        return quotient - 2**64 if quotient >= 2**63 else quotient

else:

    @intrinsic
    def lowest_bit(typing_context: Any, word: Any) -> Any:
        """Give the index (int64) of the lowest set bit of a uint64 that is not 0, which nothing checks.

        LLVM's count of trailing zeros, one instruction. Numba has no function for it.
        """
        signature = types.int64(types.uint64)

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero_is_undefined = context.get_constant(types.boolean, True)
            return builder.cttz(arguments[0], zero_is_undefined)

        return signature, codegen

    @njit(inline="always")
    def exact_quotient(value, inverse, twos):  # type: ignore[no-untyped-def]
        """Divide a value of at least 0 by a divisor that divides it: a multiplication and a rotation, some 4 cycles.

        Modulo 2**64 an odd number has an inverse, and multiplying by it undoes a multiplication by the number. With
        divisor = 2**twos · odd, the product with odd's inverse is quotient · 2**twos, and the rotation takes the power
        of two away. Both steps are permutations of the 64-bit numbers, and the multiples of the divisor fill all
        results up to the largest quotient. So of any other value the result, taken as unsigned, is above
        (2**63 − 1) // divisor: one comparison tells whether the division was exact, and no remainder is computed.
        As int64 it is negative or too large to be a quotient. `divisor_inverse` gives `inverse` and `twos`.

        Source:
            Granlund and Montgomery, "Division by invariant integers using multiplication" (1994), section 9.
        """
        # The product wraps around at 2**64 on purpose: that is the modulus of the inverse.
        product = np.uint64(value) * inverse
        # Where twos is 0, a shift by 64 would be undefined; "& 63" makes it a shift by 0, and the result the product.
        return np.int64(product >> np.uint64(twos) | product << np.uint64((64 - twos) & 63))


def divisor_inverse(divisor: int) -> tuple[int, int]:
    """Give what `exact_quotient` needs of a divisor of at least 1.

    Returns:
        The inverse modulo 2**64 of the divisor's odd part, and how many times 2 divides the divisor.
    """
    # An even number has no inverse modulo 2**64, so the factors 2 are taken out and undone by the rotation.
    twos = (divisor & -divisor).bit_length() - 1
    return pow(divisor >> twos, -1, 2**64), twos
