"""Choose and run the tests that tell most in a minute: `make test-quick`.

First those nearest to the change: of every module that differs from the base (by default where this branch left
origin/main), the test module that mirrors it, the most changed first. Then a representative set, the patterns in
order_book_platform_tests/quick.txt. What is left out is said: a test module that takes longer than the minute, and
those beyond the number that fit into it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "order_book_platform"
TESTS = "order_book_platform_tests"
PATTERNS = f"{TESTS}/quick.txt"

NEAREST = 4
"""So many test modules of what has changed fit into the minute beside the representative set."""

EXAMPLES = "100"
"""Examples on which the replay is held against the oracle, instead of 10,000."""


class SelectionError(Exception):
    """The tests to run cannot be told; the message says why."""


def representative(root: Path) -> list[str]:
    """Test modules that the patterns name, in their order.

    Raises:
        SelectionError: a pattern names no test module, as after a move.
    """
    found: dict[str, None] = {}
    for line in (root / PATTERNS).read_text(encoding="utf-8").splitlines():
        pattern = line.partition("#")[0].strip()
        if not pattern:
            continue
        matches = sorted(path.relative_to(root).as_posix() for path in (root / TESTS).glob(pattern))
        if not matches:
            raise SelectionError(f"{PATTERNS}: expected a test module that {pattern} names, found none")
        found |= dict.fromkeys(matches)
    return list(found)


def changed_files(root: Path, base: str) -> list[str]:
    """Files that differ from the base and are there, the most changed first.

    Args:
        root: the checkout.
        base: a commit, or nothing for where this branch left origin/main, or the last commit if there is no such.

    Raises:
        SelectionError: git does not know the base.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], check=False, capture_output=True, text=True, cwd=root)
        if done.returncode:
            raise SelectionError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    if not base:
        try:
            base = git("merge-base", "HEAD", "origin/main").strip()
        except SelectionError:
            base = "HEAD"
    lines = {}
    for line in git("diff", "--numstat", "--no-renames", base).splitlines():
        added, removed, path = line.split("\t")
        if added != "-":
            lines[path] = int(added) + int(removed)
    for path in git("ls-files", "--others", "--exclude-standard").splitlines():
        lines[path] = sys.maxsize
    return sorted((path for path in lines if (root / path).is_file()), key=lambda path: (-lines[path], path))


def mirrored(path: str, root: Path) -> str | None:
    """The test module of a file: itself, or the one that mirrors a module of the package; None if there is none."""
    place = Path(path)
    if place.parts[0] == TESTS and place.name.startswith("test_") and place.suffix == ".py":
        return path
    if place.parts[0] != PACKAGE or place.suffix != ".py":
        return None
    name = place.parent.name if place.name == "__init__.py" else place.stem
    test = Path(TESTS, *place.parts[1:-1], f"test_{name}.py")
    return test.as_posix() if (root / test).is_file() else None


def select(root: Path, base: str, longest: set[str]) -> tuple[list[str], list[str]]:
    """Test modules to run, in order, and those of changed modules that are left out."""
    nearest = dict.fromkeys(test for path in changed_files(root, base) if (test := mirrored(path, root)))
    standing = representative(root)
    fitting = [test for test in nearest if test not in longest]
    taken = [test for test in fitting if test not in standing][:NEAREST]
    run = [*taken, *standing]
    return run, [test for test in nearest if test not in run]


def main() -> int:
    """Select and run; return the exit code of pytest, or 2 if the selection is impossible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--base", default="", help="what to compare with; default: where origin/main was left"
    )
    parser.add_argument("--list", action="store_true", help="print the test modules and run none")
    chosen, pytest_arguments = parser.parse_known_args()
    sys.path.insert(0, str(ROOT))
    from order_book_platform_tests.conftest import LONGEST

    try:
        run, left_out = select(ROOT, chosen.base, {f"{TESTS}/{name}" for name in LONGEST})
    except SelectionError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.list:
        print("\n".join(run))
    else:
        start = monotonic()
        fewer = ["-p", f"{TESTS}.quick_profile", "--hypothesis-profile", "quick"]
        command = [sys.executable, "-m", "pytest", *fewer, *pytest_arguments, *run]
        code = subprocess.run(
            command, check=False, cwd=ROOT, env={"OBP_EXAMPLES": EXAMPLES, **os.environ}
        ).returncode
        print(f"{len(run)} test modules in {monotonic() - start:.0f} s")
    if left_out:
        print(f"Not run, although near to the change (make test runs all): {', '.join(left_out)}")
    return 0 if chosen.list else code


if __name__ == "__main__":
    sys.exit(main())
