"""``spec-envs bench guess``: how often is the next tool call of an agent among the first guesses?"""

import dataclasses
from pathlib import Path
from typing import Literal

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import SpreadSettings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuessSettings(SpreadSettings):
    """Count how often the next tool call of recorded conversations is among the first guesses."""

    trajectories: Path = setting(
        dataclasses.MISSING,
        "Recorded conversations: result files of tau-bench, or JSON lines of this library.",
        type=options.FILE,
    )
    train: Path | None = setting(
        None, "Learn from this file.", type=options.FILE, default_text="the other tasks of --trajectories"
    )
    guesser: Literal["pattern"] = setting("pattern", "The guesser that is measured.")
    folds: int = setting(5, "Without --train: divide the tasks into this many parts; learn from all others.", ge=2)
    seed: int = options.seed("Seed of the guesser.")
