"""The first signal asks for the end, the second one interrupts."""

from __future__ import annotations

import os
import signal

import pytest

from order_book_platform.cli.stop_signals import stopped_by_signals


def test_the_second_signal_interrupts() -> None:
    """Handlers are as before when the block is left."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stopped_by_signals() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        stopped.clear()
        stopped.wait(10)
    assert signal.getsignal(signal.SIGINT) is before
