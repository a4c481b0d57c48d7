"""``spec-envs bench tuning``: how soon does a system do well that is tuned by a slow tuner and a fast guesser?"""

import dataclasses
from pathlib import Path
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import ClockSettings, setting
from spec_envs.errors import InvalidConfiguration

Backends = Literal["simulated", "eevdf", "sysbench", "sqlite", "sysctl"]
Mode = Literal["actor", "speculator", "lossless", "last-write-wins"]
Actor = Literal["best", "gp", "climb", "random"]
Guesses = Literal["gp", "climb", "same", "random", "half"]

#: Backends that run a ``RoundRobin``.
ROUND_ROBIN = ("simulated", "eevdf")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningSettings(ClockSettings):
    """Tune a machine, or a model of one, with a slow tuner and a fast guesser."""

    backend: Backends = setting("simulated", "Where the workload runs; only simulated has a virtual clock.")
    mode: Mode = setting(
        "last-write-wins",
        "actor: the slow tuner alone, on the live system. speculator: the guesser alone. lossless: the tuner's "
        "settings are predicted, and measured ahead of time. last-write-wins: lossy; tuner and guesser both set the "
        "live system.",
    )
    actor: Actor = setting(
        "best",
        "The tuner: knows the optimum (best), searches with a Gaussian process (gp) or by hill climbing (climb), or "
        "tries settings at random (random).",
    )
    actor_seconds: float = setting(10.0, "How long the tuner thinks about a setting.", gt=0)
    guesser: Guesses = setting(
        "gp",
        "Who guesses. gp, climb and random: as for --actor. same: guesses the last setting again. half: knows what the "
        "tuner will choose, and guesses it for half of the calls.",
    )
    max_inflight: int | None = options.max_inflight(8)
    windows: int = setting(20, "How many windows an episode has, including that of the starting setting.", ge=2)
    window_s: float = setting(1.0, "Length of a window, in seconds.", gt=0)
    service_ms: float = setting(9.5, "CPU time of an event of the workload, in ms.", gt=0)
    tasks: int = setting(4, "How many tasks of the workload run on each core.", ge=1)
    start: float = setting(32.0, "The slice at the start, in ms.", gt=0)
    knobs: int = setting(
        1,
        "With --backend simulated: a number from 2 to 6 replaces the scheduler by a made-up machine with this many "
        "knobs; each seed has a machine of its own.",
        ge=1,
        le=6,
    )
    seeds: int = setting(20, "How many episodes are run in each mode, one for each seed.", ge=1)
    beside: Mode | None = setting(None, "A second mode, whose episodes take turns with those of --mode.")
    plot: Path | None = setting(None, "Draw the curves, with intervals, into this file.", type=options.OutputFile())

    def check(self) -> None:
        """Check that backend, clock, knobs and actor go together."""
        if self.beside == self.mode:
            raise InvalidConfiguration(
                f"--mode and --beside are both {self.mode}: name two modes to compare, or leave out --beside"
            )
        if self.clock == "virtual" and self.backend != "simulated":
            raise InvalidConfiguration(
                f"--backend {self.backend} measures this machine, on which waiting takes real time: give --clock wall"
            )
        if self.knobs > 1 and self.backend != "simulated":
            raise InvalidConfiguration(
                f"--knobs {self.knobs} is for a made-up machine, and --backend {self.backend} is a real one: give "
                f"--backend simulated, or leave out --knobs"
            )
        if self.actor == "best" and self.backend not in ROUND_ROBIN:
            raise InvalidConfiguration(
                f"--actor best knows the best setting, and nobody knows that of --backend {self.backend}: give a "
                f"tuner that searches for it, --actor gp, climb or random"
            )
