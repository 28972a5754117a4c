"""Both components of the assessment give the same kind of result."""

from __future__ import annotations

from pathlib import Path

from order_book_platform.assess import DataAssessor, GapReporter, PublishedReport
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.lake import KEY, book_frame, delta_frame, trade_frame, write_lake


def test_manifest_report_and_gates_belong_together(tmp_path: Path) -> None:
    """The manifest is that of the partition with the report, and the gates are those that the class names."""
    write_lake(tmp_path / "lake", KEY, delta_frame(), book_frame(), trade_frame())
    chain = Chain.over(tmp_path, tmp_path / "lake", [KEY])
    for dataset, result in zip(
        ("sequence_gap_report", "data_assessment"), chain.books(KEY)[1:3], strict=True
    ):
        assert isinstance(result, PublishedReport)
        assert result.manifest == chain.store.manifest(dataset, KEY)
        stored = chain.store.report(dataset, KEY)
        assert {name: stored[name] for name in result.report} == result.report
        owner = GapReporter if dataset == "sequence_gap_report" else DataAssessor
        assert {gate.name for gate in result.gates} <= set(owner.GATES)
