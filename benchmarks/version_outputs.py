"""What one checkout makes of all scenarios: lakes, stores and what commands printed, in a folder.

Commands and components run in the checkout's own environment, each with no settings but those of its scenario.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.version_scenarios import RECORDINGS, SIMULATED, Day, Scenario, of_day, scenarios
from order_book_platform.errors import BenchmarkError

COMPLETE = "complete.json"
"""Written last into the outputs of a checkout; says what they were made of."""
WORKER = str(Path(__file__).with_name("version_worker.py"))
"""Runs the components, with the Python of the checkout."""


@dataclass(frozen=True)
class Checkout:
    """A checkout, and the folder that its outputs go to.

    Attributes:
        root: of the checkout; has a `.venv`.
        out: of the outputs.
        messages: of a simulated day.
        recorded: the recorded lake.
    """

    root: Path
    out: Path
    messages: int
    recorded: Path

    def lake(self, name: str) -> Path:
        """The folder of a lake."""
        return self.recorded if name == RECORDINGS else self.out / "lakes" / name

    def folder(self, scenario: Scenario) -> Path:
        """Of a scenario's settings, store and what its commands printed."""
        return self.out / "scenarios" / scenario.name

    def settings(self, scenario: Scenario) -> Path:
        """A scenario's settings file."""
        return self.folder(scenario) / "platform.toml"

    def source(self) -> dict[str, object]:
        """What decides the outputs: code, scenarios, and how much is simulated."""
        plan = (
            [asdict(scenario) for scenario in scenarios()],
            [list(days.items()) for days in SIMULATED.values()],
        )
        return {
            "checkout": str(self.root),
            "code": _digest(self.root / "order_book_platform"),
            "plan": hashlib.sha256(json.dumps(plan).encode()).hexdigest(),
            "messages": self.messages,
            "recorded": _digest(self.recorded),
        }

    def is_made(self) -> bool:
        """Whether the outputs are there, of just this code and these scenarios."""
        stamp = self.out / COMPLETE
        return stamp.is_file() and json.loads(stamp.read_bytes()) == self.source()

    def make(self) -> None:
        """Make all outputs anew.

        Raises:
            BenchmarkError: a command of the checkout fails, or runs another checkout's code.
        """
        source = self.source()
        shutil.rmtree(self.out, ignore_errors=True)
        for lake, days in SIMULATED.items():
            for seed, (day, faults) in enumerate(days.items(), 1):
                self._simulate(lake, day, faults, seed)
        chosen = scenarios()
        for scenario in chosen:
            self.folder(scenario).mkdir(parents=True)
            self.settings(scenario).write_text(scenario.settings(self.lake(scenario.lake)), encoding="utf-8")
            for day in scenario.by_command:
                self._command(scenario, "1-materialize", ["materialize", *of_day(day), "--json"])
        self._run_components(chosen)
        for scenario in chosen:
            for number, question in enumerate(scenario.questions, 2):
                self._command(scenario, f"{number}-{question[0]}", [*question, "--json"])
        (self.out / COMPLETE).write_text(json.dumps(source, indent=1), encoding="utf-8")

    def _simulate(self, lake: str, day: Day, faults: str, seed: int) -> None:
        arguments = [*of_day(day), "--out", str(self.lake(lake)), "--messages", str(self.messages), "--json"]
        if faults:
            arguments += ["--fault", faults]
        done = self._obp(["simulate", *arguments, "--seed", str(seed)])
        if done.returncode:
            raise self._failed(done)
        self._keep(self.lake(lake) / "commands" / f"simulate-{seed}.json", done)

    def _command(self, scenario: Scenario, name: str, command: Sequence[str]) -> None:
        """Run a command that may exit 1 because of the data; keep what it printed, and its exit code."""
        done = self._obp(command, self.settings(scenario))
        if done.returncode not in {0, 1} or not done.stdout.strip():
            raise self._failed(done)
        self._keep(self.folder(scenario) / "commands" / f"{name}.json", done)

    def _run_components(self, chosen: Sequence[Scenario]) -> None:
        jobs = [
            {
                "settings": str(self.settings(scenario)),
                "symbol": day[0],
                "day": day[1],
                "assets": list(scenario.assets),
            }
            for scenario in chosen
            for day in scenario.days
            if day not in scenario.by_command
        ]
        # -P: the folder of the program holds modules of this checkout.
        command = [str(self.root / ".venv/bin/python"), "-P", WORKER]
        done = self._run(command, None, json.dumps({"jobs": jobs}))
        if done.returncode:
            raise self._failed(done)
        package = Path(json.loads(done.stdout)["package"])
        if package != (self.root / "order_book_platform").resolve():
            raise BenchmarkError(
                expected=f"the package of {self.root}",
                found=str(package),
                where=command[0],
                remedy="Install the checkout in its own .venv: make setup.",
            )

    def _obp(
        self, arguments: Sequence[str], settings: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self._run([str(self.root / ".venv/bin/obp"), *arguments], settings, "")

    def _run(
        self, command: Sequence[str], settings: Path | None, stdin: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        if settings:
            environment["OBP_CONFIG"] = str(settings)
        if not Path(command[0]).is_file():
            raise BenchmarkError(
                expected="a checkout with an environment",
                found="no such file",
                where=command[0],
                remedy="Run make setup in the checkout.",
            )
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.root,
            env=environment,
            input=stdin,
        )

    def _keep(self, file: Path, done: subprocess.CompletedProcess[str]) -> None:
        """Keep what a command printed, with the folder of the outputs by a name that both checkouts share."""
        file.parent.mkdir(parents=True, exist_ok=True)
        printed = json.loads(done.stdout.replace(str(self.out), "OUT"))
        content = {"exit_code": done.returncode, "stdout": printed}
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")

    def _failed(self, done: subprocess.CompletedProcess[str]) -> BenchmarkError:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return BenchmarkError(
            expected="a command that succeeds",
            found=" | ".join(line.strip() for line in lines[-6:]),
            where=" ".join(done.args),
            remedy="Run it in that checkout and look at what it says.",
        )


def _is_ours(variable: str) -> bool:
    """Whether a variable of this process would lead a checkout's commands to other settings or another environment."""
    return variable.startswith(("OBP_", "DAGSTER_", "PYTHON")) or variable == "VIRTUAL_ENV"


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files, without what Python caches."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
