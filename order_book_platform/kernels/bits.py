"""Finding the lowest set bit of a 64-bit word, one machine instruction when compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic

if config.DISABLE_JIT:

    def lowest_bit(word: np.uint64) -> int:
        """Index of the lowest set bit; `word` is not 0."""
        return (int(word) & -int(word)).bit_length() - 1

else:

    @intrinsic
    def lowest_bit(typing_context: Any, word: Any) -> Any:
        """Index of the lowest set bit (int64); `word` is uint64 and not 0 (checked by no one)."""
        signature = types.int64(types.uint64)

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            zero_is_undefined = context.get_constant(types.boolean, True)
            return builder.cttz(arguments[0], zero_is_undefined)

        return signature, codegen
