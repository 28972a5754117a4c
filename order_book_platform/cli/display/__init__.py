"""How commands show things on a terminal or in a pipe.

In: results of components. Out: tables and JSON on stdout (`output`, `assessment_tables`, `range_tables`), and live
progress on stderr (`run_display` with `stream_table`, on `live_terminal`).
"""
