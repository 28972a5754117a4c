"""The exact book after every event.

In: `raw_deltas`, `snapshots`, the gap report and the assessment, or the logs of a live capture. Out:
`reconstructed_books` with the closing state and the snapshots that were used, or a log of books in near real time; the
book at any instant; a second replay to compare the `replay_hash` with.
"""

from order_book_platform.reconstruct.live.follower import Followed, replay_hash_of
from order_book_platform.reconstruct.reconstructor import (
    BookSide,
    BookState,
    Reconstruction,
    Reconstructor,
    Verification,
)

__all__ = [
    "BookSide",
    "BookState",
    "Followed",
    "Reconstruction",
    "Reconstructor",
    "Verification",
    "replay_hash_of",
]
