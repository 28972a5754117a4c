"""Simulated markets and injected faults: data whose truth is known, for demos, tests and benchmarks.

In: a profile measured on recordings, a seed, a number of messages, and the faults to inject; or existing Crypto Lake
files and the faults. Out: Crypto Lake files, the truth beside them, and a record of every fault.
"""

from order_book_platform.simulate.calibration import calibrate
from order_book_platform.simulate.faults import Faults
from order_book_platform.simulate.lake_files import read_record
from order_book_platform.simulate.market_profile import MarketProfile, profile, profile_names
from order_book_platform.simulate.simulator import (
    InjectionReport,
    MarketSimulator,
    SimulationReport,
    inject_faults,
)

__all__ = [
    "Faults",
    "InjectionReport",
    "MarketProfile",
    "MarketSimulator",
    "SimulationReport",
    "calibrate",
    "inject_faults",
    "profile",
    "profile_names",
    "read_record",
]
