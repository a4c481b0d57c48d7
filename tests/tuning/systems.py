"""Systems to tune that a test makes itself: settings in files of a scratch folder, and a live one in memory."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import MeasureQuery, Metrics

NUMBER = Knob("number", "int", 1, 100, default=50, steps=100)
WORD = Knob("word", "choice", choices=("always", "madvise", "never"))


@dataclasses.dataclass(frozen=True, slots=True)
class Scratch:
    """A workload under the settings in ``folder``, a stand-in for /sys."""

    folder: str
    knobs: tuple[Knob, ...] = (NUMBER, WORD)

    @property
    def name(self) -> str:
        return "scratch"

    @property
    def files(self) -> Mapping[str, str]:
        return {knob.name: f"{self.folder}/{knob.name}" for knob in self.knobs}

    def run(self, query: MeasureQuery, cancel: Any) -> Metrics:
        cancel.raise_if_cancelled()
        return Metrics.of([float(Path(self.files["number"]).read_text())], 1.0)


def scratch(folder: Path) -> Scratch:
    """The folder as it is before anybody tunes it."""
    (folder / "sys").mkdir()
    (folder / "sys" / "number").write_text("7\n")
    (folder / "sys" / "word").write_text("never\n")
    return Scratch(str(folder / "sys"))


def shown(workload: Scratch) -> tuple[str, str]:
    """What the settings are."""
    number, word = (Path(path).read_text().strip() for path in workload.files.values())
    return number, word


#: A process that changes the settings in argv[1], with its journal in argv[2], and then waits to be killed.
TUNER = """
import signal, sys
from pathlib import Path
import gymnasium as gym
import spec_envs
from spec_envs.tuning.backends.system_settings import SystemBackend
from tests.tuning.systems import Scratch

backend = SystemBackend(Scratch(sys.argv[1]), allow_system=True, journal=Path(sys.argv[2]))
env = gym.make("SpecTuning-v0", backend=backend)
env.reset(seed=0)
env.step({"number": 99, "word": 1})
print("changed", flush=True)
if sys.argv[3] != "return":
    signal.pause()
"""


def start_tuner(workload: Scratch, journal: Path, how: str = "wait") -> subprocess.Popen[str]:
    """Such a process, once it has changed the settings."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-W", "error", "-c", TUNER, workload.folder, str(journal), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "changed\n"
    return process


def end(process: subprocess.Popen[str], number: int | None = signal.SIGKILL) -> int:
    """Send a signal, and wait; the exit code."""
    with process:
        if number is not None:
            process.send_signal(number)
        return process.wait(60)
