"""The command line `obp`.

In: arguments, the settings file, a terminal or a pipe. Out: tables or JSON on stdout, progress and errors on
stderr, and an exit code: 0 done, 1 the data or a gate failed, 2 wrong usage or settings, 130 interrupted.
"""

from order_book_platform.cli.group import obp as main

__all__ = ["main"]
