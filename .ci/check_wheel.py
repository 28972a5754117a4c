"""Build the wheel, install it where nothing else of the project is, and use it there.

`make check-wheel` runs it with the Python of .venv. The wheel is installed in an environment of its own, with the
pinned packages that a user gets and none of the development tools, and everything runs in a folder outside the
checkout. What must hold: the wheel has every file of the package and no other; the package and all its public names
can be imported; it names the version of its code as the checkout does; `obp` simulates a day, makes its books and
features, and `scan` reads them without importing Dagster.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from time import monotonic

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "order_book_platform"
SYMBOL = "SIMULATED:BTC-USDT-PERP"
DAY = "2024-08-08"
DATASETS = "raw_deltas", "reconstructed_books", "rl_features"

SETTINGS = f"""\
lake_root = "lake"
data_root = "store"
first_day = "{DAY}"

[[instruments]]
symbol = "{SYMBOL}"
"""

IMPORTS = f"""\
import json, sys
import {PACKAGE}
light = [name for name in ("dagster", "numba", "polars") if name in sys.modules]
for name in {PACKAGE}.__all__:
    getattr({PACKAGE}, name)
print(json.dumps({{"place": {PACKAGE}.__file__, "loaded": light, "version": {PACKAGE}.__version__}}))
"""

CODE_VERSION = f"import {PACKAGE}.version as version; print(version.code_version('reconstruct'))"

SCAN = f"""\
import json, sys
import {PACKAGE}
rows = {{
    name: {PACKAGE}.scan(name, "{SYMBOL}", "{DAY}").collect().height for name in {DATASETS}
}}
print(json.dumps({{"rows": rows, "dagster": "dagster" in sys.modules}}))
"""


class CheckFailedError(Exception):
    """The wheel is not what it should be; the message says in what."""


def run(command: list[str | Path], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        CheckFailedError: it failed; the message holds the end of what it said.
    """
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment, timeout=900
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        shown = " ".join(str(part).partition("\n")[0] for part in command)  # of code only its first line
        raise CheckFailedError(f"{shown}: exit code {done.returncode}\n{said}")
    return done.stdout


def runtime_packages(requirements: list[str]) -> set[str]:
    """Names of all packages that these requirements bring on this machine, as installed in this environment."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": each}) for each in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and not requirement.extras:
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": each}) for each in extras):
                needed.marker = None
                waiting.append(needed)
    return found


def pins_of(lock: str, packages: set[str]) -> str:
    """The entries of a lock file, with their hashes, for these packages alone.

    Raises:
        CheckFailedError: a package has no entry.
    """
    entries = {
        canonicalize_name(entry.partition("==")[0]): entry
        for entry in re.split(r"\n(?=\S)", lock)
        if not entry.startswith("#")
    }
    missing = sorted(packages - set(entries))
    if missing:
        raise CheckFailedError(f"requirements.lock has no pin of {', '.join(missing)}: run make lock")
    return "\n".join(
        entry
        for entry in re.split(r"\n(?=\S)", lock)
        if not entry.startswith("#") and canonicalize_name(entry.partition("==")[0]) in packages
    )


def build(folder: Path) -> Path:
    """Build the wheel with the build backend of this environment."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files_of_package() -> set[str]:
    """Return the files of the package in this checkout that git tracks or would track, relative to its root."""
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", PACKAGE], ROOT)
    return {line for line in listed.splitlines() if (ROOT / line).is_file()}


def check_contents(wheel: Path) -> int:
    """Compare the wheel's files with those of the package.

    Returns:
        How many files of the package are data: no Python modules.

    Raises:
        CheckFailedError: one is missing or too many, or the licence or the command is absent.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        described = {name.partition(".dist-info/")[2]: name for name in names if ".dist-info/" in name}
        commands = archive.read(described["entry_points.txt"]).decode()
    inside = names - set(described.values())
    expected = files_of_package()
    if inside != expected:
        missing, extra = sorted(expected - inside), sorted(inside - expected)
        raise CheckFailedError(
            f"the wheel lacks {missing or 'nothing'} and has too much: {extra or 'nothing'}"
        )
    if f"{PACKAGE}/py.typed" not in inside:
        raise CheckFailedError("the wheel lacks py.typed: type checkers would ignore its annotations")
    if "licenses/LICENSE" not in described or "obp = " not in commands:
        raise CheckFailedError(f"expected the licence and the command obp, found {sorted(described)}")
    return sum(not name.endswith(".py") for name in inside)


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel and the pinned packages that it needs; return its folder of programs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = pins_of(
        (ROOT / "requirements.lock").read_text(encoding="utf-8"), runtime_packages(project["dependencies"])
    )
    (folder / "requirements.txt").write_text(pins + "\n", encoding="utf-8")
    run([sys.executable, "-m", "venv", folder / "venv"], folder)
    programs = folder / "venv" / "bin"
    pip: list[str | Path] = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    run([*pip, "--require-hashes", "-r", folder / "requirements.txt"], folder)
    run([*pip, wheel], folder)
    run([programs / "python", "-m", "pip", "check"], folder)  # nothing that the wheel asks for is absent
    return programs


def environment_of(folder: Path) -> dict[str, str]:
    """The caller's environment without what points at a checkout, another Dagster home, or other settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "OBP_", "DAGSTER_", "VIRTUAL_ENV"))
    }
    if "NUMBA_CACHE_DIR" not in kept:
        # Compiled loops are kept by the content of their sources, which is the same: the checkout's need no compiler.
        loops = ROOT / PACKAGE / "kernels" / "__pycache__"
        loops.mkdir(exist_ok=True)
        shared = folder / "compiled"
        shared.mkdir()
        (shared / PACKAGE).symlink_to(loops, target_is_directory=True)
        kept["NUMBA_CACHE_DIR"] = str(shared)
    return kept | {"DAGSTER_HOME": str(folder / "dagster"), "NO_COLOR": "1"}


def check_use(programs: Path, folder: Path) -> None:
    """Import, simulate, make and read a day with what was installed.

    Raises:
        CheckFailedError: a step failed, or something else than the installed package was used.
    """
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "platform.toml").write_text(SETTINGS, encoding="utf-8")
    environment = environment_of(folder)

    def python(code: str) -> dict[str, object]:
        result: dict[str, object] = json.loads(run([programs / "python", "-c", code], elsewhere, environment))
        return result

    imported = python(IMPORTS)
    if not Path(str(imported["place"])).is_relative_to(folder / "venv"):
        raise CheckFailedError(f"expected the installed package, found {imported['place']}")
    if imported["loaded"]:
        raise CheckFailedError(f"importing the package must be light, but it loads {imported['loaded']}")
    made_by = [
        run([each, "-c", CODE_VERSION], place, environment)
        for each, place in ((programs / "python", elsewhere), (sys.executable, ROOT))
    ]
    if len(set(made_by)) > 1:
        raise CheckFailedError(f"the wheel and the checkout name their code differently: {made_by}")
    obp: list[str | Path] = [programs / "obp"]
    if "materialize" not in run([*obp, "--help"], elsewhere, environment):
        raise CheckFailedError("obp --help does not list its commands")
    day = ["--symbol", SYMBOL, "--day", DAY]
    run([*obp, "simulate", "--out", "lake", *day, "--messages", "20000"], elsewhere, environment)
    run([*obp, "materialize", *day], elsewhere, environment)
    scanned = python(SCAN)
    if scanned["dagster"]:
        raise CheckFailedError("scan must not import Dagster, and does")
    if not all(json.loads(json.dumps(scanned["rows"])).values()):
        raise CheckFailedError(f"expected rows in every dataset, found {scanned['rows']}")


def main() -> int:
    """Run all checks; return the exit code."""
    start = monotonic()
    with tempfile.TemporaryDirectory(prefix="obp-wheel-") as made:
        folder = Path(made).resolve()
        try:
            wheel = build(folder)
            data_files = check_contents(wheel)
            programs = install(wheel, folder)
            check_use(programs, folder)
        except CheckFailedError as error:
            print(f"the wheel is not right: {error}", file=sys.stderr)
            return 1
        print(
            f"{wheel.name}: {data_files} data files, installed, imported, used; {monotonic() - start:.0f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
