"""Writers of a log that die on order: a process that forks one child per line of its standard input.

Forked, since importing arrow takes longer than everything a child does. A child tells on standard output its pid and
what has been synced; its parent, how it ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from order_book_platform.storage.log import LogWriter
from order_book_platform_tests.storage.log.rows import SCHEMA, append

BOUNDARIES = ("fsync", "rename", "replace", "unlink", "truncate", "ftruncate", "writev", "open")


def work(writer: LogWriter, seed: int, steps: int, report: Callable[[int], object]) -> None:
    """Append, sync and rotate in an order that follows from the seed; `report` what has been synced."""
    chance = random.Random(seed)
    for _ in range(steps):
        append(writer, chance.choice((1, 2, 5, 40)))
        if chance.random() < 0.5:
            writer.sync()
            report(writer.synced_row)
        if chance.random() < 0.2:
            writer.rotate()
            report(writer.synced_row)


def die_at(count: int, *, after: bool) -> None:
    """Kill this process before or after the `count`-th call that changes a file; before a write, in its middle."""
    left = count
    os.fsync = lambda descriptor: None  # what is killed needs no flush, and there are hundreds of them

    def deadly(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def replaced(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **named)
            left -= 1
            if left == 0 and not after and name == "writev":
                whole = b"".join(arguments[1])
                os.write(arguments[0], whole[: len(whole) // 2])
            elif left > 0 or after:
                result = call(*arguments, **named)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return replaced

    for name in BOUNDARIES:
        setattr(os, name, deadly(name, getattr(os, name)))


def tell(**words: int) -> None:
    """Write one line to standard output with a single call."""
    os.write(1, json.dumps(words).encode() + b"\n")


def child(order: dict[str, Any]) -> None:
    """Carry out one order in the forked child."""
    tell(pid=os.getpid())
    if order["die_at"]:
        die_at(order["die_at"], after=order["after"])
    with LogWriter(Path(order["folder"]), SCHEMA, segment_bytes=order["segment_bytes"]) as writer:
        tell(synced=writer.synced_row)
        work(writer, order["seed"], order["steps"], lambda row: tell(synced=row))
        writer.close(seal=order["seal"])
        tell(synced=writer.next_row)


def main() -> None:
    """Fork a child per line, and wait for a second line after its end, until there are no more."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                child(json.loads(line))
                code = 0
            finally:
                os._exit(code)
        # Its number must not become another's as long as somebody may still want to kill it.
        how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert how is not None
        tell(ended=how.si_status)
        sys.stdin.readline()
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
