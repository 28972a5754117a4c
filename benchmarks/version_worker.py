"""Runs the components of another checkout: a program for that checkout's own Python.

It is started by its path and imports only names that `order_book_platform` exports, so it runs with any version of the
platform. It reads one JSON object from stdin, with the list `jobs`, and prints one: `package` is the folder that the
platform was imported from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import order_book_platform
from order_book_platform import DataStore, PartitionKey, load_settings


def run_job(job: dict[str, Any]) -> None:
    """Make one day.

    Args:
        job: `settings` (a file), `symbol`, `day`, and `assets`: names of components, in the order they run.
    """
    settings = load_settings(job["settings"])
    store = DataStore(settings.data_root)
    key = PartitionKey.parse(job["symbol"], job["day"])
    for name in job["assets"]:
        getattr(order_book_platform, name)(store, settings).run(key)


def main() -> None:
    """Run the jobs of stdin."""
    for job in json.load(sys.stdin)["jobs"]:
        try:
            run_job(job)
        except Exception:
            print(f"failed: {job}", file=sys.stderr)
            raise
    print(json.dumps({"package": str(Path(order_book_platform.__file__).parent.resolve())}))


if __name__ == "__main__":
    main()
