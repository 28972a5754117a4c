"""Finds and classifies the gaps of a day.

In: messages, snapshots and the replay of a book. Out: `gap_reporter` publishes `sequence_gap_report`. `message_scan`
and `crossed_spells` find candidates, `gap_classification` says what each means and what will be done about it, and
`gap_distribution` and `clock_offset` summarise them and the two clocks.
"""
