"""The six assets in the order of the data: which component makes each, from what, and which gates check it."""

from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.assess.rules import RULES
from order_book_platform.defs.asset_declaration import AssetDeclaration
from order_book_platform.defs.metadata import stream_metadata
from order_book_platform.defs.pictures import book_pictures, gap_pictures
from order_book_platform.fidelity import CHECKS as FIDELITY_CHECKS
from order_book_platform.fidelity import FidelityReporter, draw_pictures
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.rl.features.quality_gates import gate_descriptions
from order_book_platform.sources import DayIngest

RAW_DELTAS = AssetDeclaration(
    name="raw_deltas",
    component=DayIngest,
    description=(
        "Holds the level changes of one symbol and day in replay order, with prices and sizes as exact int64 pips "
        "(`price · 10^price_decimals`) and an audit of the source files. "
        "Its siblings `snapshots` and `trades` are published with it; a day that the lake has no files of is taken "
        "from a live capture, with exact ids and `tickers`."
    ),
    kinds=frozenset({"parquet", "python"}),
    deps=("lake/book_delta_v2", "lake/book", "lake/trades"),
    siblings=("snapshots", "trades", "tickers"),
)

SEQUENCE_GAP_REPORT = AssetDeclaration(
    name="sequence_gap_report",
    component=GapReporter,
    description=(
        "Lists every gap of the day with its kind (`exact`: proven by ids, `inferred`: concluded from silence, "
        "crossing or disagreement with a snapshot), its class, and what the reconstruction does about it."
    ),
    kinds=frozenset({"parquet", "json", "numba"}),
    deps=("raw_deltas",),
    gates={"gap_ratio": "Gaps per message; they are exact where the source keeps ids, else inferred."},
    pictures=gap_pictures,
)

DATA_ASSESSMENT = AssetDeclaration(
    name="data_assessment",
    component=DataAssessor,
    description=(
        "Answers whether a faithful book can be made from these data, and how. The report has availability, "
        "coverage, gaps, precision, estimated memory and run time, the recommended strategy, and go or no-go with "
        "every rule that decided it."
    ),
    kinds=frozenset({"json", "markdown"}),
    deps=("raw_deltas", "sequence_gap_report"),
    gates={name: f"{meaning[0].upper()}{meaning[1:]}." for name, (_, meaning) in RULES.items()},
    # The other rules say how much a book is worth; from no message, or a single one, none can be made.
    blocking=frozenset({"deltas", "messages"}),
    highlights=("verdict",),
)

RECONSTRUCTED_BOOKS = AssetDeclaration(
    name="reconstructed_books",
    component=Reconstructor,
    description=(
        "Holds the visible book, 20 levels a side, after each message that changed it. Flags say what to know before "
        "trusting a row, `known_*_levels` how many of its levels are known. `replay_hash` in the details is equal for "
        "every way of replaying the same deltas."
    ),
    kinds=frozenset({"parquet", "numba"}),
    deps=("raw_deltas", "sequence_gap_report", "data_assessment"),
    highlights=("replay_hash",),
    run_metadata=stream_metadata,
    pictures=book_pictures,
)

FIDELITY_REPORT = AssetDeclaration(
    name="fidelity_report",
    component=FidelityReporter,
    description=(
        "Shows how exact the books are, measured against snapshots that were not used to make them, with placebos "
        "(the same reference 1 s and 10 s later) that have to fail. The folder holds report.html with all plots."
    ),
    kinds=frozenset({"parquet", "json", "html"}),
    deps=("reconstructed_books", "raw_deltas", "sequence_gap_report"),
    gates=FIDELITY_CHECKS,
    highlights=("verdict",),
    pictures=draw_pictures,
)

RL_FEATURES = AssetDeclaration(
    name="rl_features",
    component=FeatureBuilder,
    description=(
        "Holds features on a fixed clock, made from past events only: spread, imbalance, order flow, returns and "
        "volatility, with a validity flag on every row."
    ),
    kinds=frozenset({"parquet", "numba"}),
    deps=("reconstructed_books", "raw_deltas"),
    gates=gate_descriptions(),
)

ASSETS = (
    RAW_DELTAS,
    SEQUENCE_GAP_REPORT,
    DATA_ASSESSMENT,
    RECONSTRUCTED_BOOKS,
    FIDELITY_REPORT,
    RL_FEATURES,
)
