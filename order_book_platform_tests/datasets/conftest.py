"""The market with known truth and its replay, which the tests of fidelity use too."""

from order_book_platform_tests.fidelity.conftest import market, replayed

__all__ = ["market", "replayed"]
